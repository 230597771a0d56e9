/** Builds the graph of calls of one state of a repository. */
import { addressOf, splitAddress } from '../symbols/address.js';
import type { CallSite, FileSymbols } from '../symbols/symbols.js';
import type { CallGraph, CallStep } from './call-graph.js';
import { Callees } from './callees.js';
import { Lookup } from './lookup.js';
import { type ModuleView, withoutTwins } from './module-view.js';
import { pathFrom, reach } from './reach.js';

/**
 * Symbols that share a name are one in it: `parse` stands for `parse#2` as well. Calls outside of any symbol are the
 * file's.
 */
export function buildCallGraph(files: readonly FileSymbols[]): CallGraph {
  const lookup = new Lookup(files);
  const callees = new Callees(lookup);
  const edges = new Edges();
  for (const module of lookup.modules) {
    const add = (name: string, calls: readonly CallSite[]) => {
      const scope = withoutTwins(name);
      for (const call of calls) addCall(edges, call, module, scope, callees);
    };
    add('', module.file.calls);
    for (const { name, calls } of module.file.symbols) add(name, calls);
  }
  return edges;
}

function addCall(edges: Edges, call: CallSite, module: ModuleView, scope: string, callees: Callees): void {
  const caller = addressOf(module.path, scope);
  for (const { address, confidence } of callees.of(call, module, scope))
    edges.add({ caller, callee: address, confidence });
}

/** Steps by who calls and by who is called; the surest of several between two. */
class Edges implements CallGraph {
  readonly #callees = new Map<string, Map<string, CallStep>>();
  readonly #callers = new Map<string, Map<string, CallStep>>();

  add(step: CallStep): void {
    const known = this.#callees.get(step.caller)?.get(step.callee);
    if (known && known.confidence >= step.confidence) return;
    put(this.#callees, step.caller, step.callee, step);
    put(this.#callers, step.callee, step.caller, step);
  }

  callees(address: string): readonly CallStep[] {
    return [...(this.#callees.get(canonical(address))?.values() ?? [])];
  }

  callers(address: string): readonly CallStep[] {
    return [...(this.#callers.get(canonical(address))?.values() ?? [])];
  }

  callersWithin(addresses: readonly string[], depth: number): ReadonlyMap<string, readonly CallStep[]> {
    const reached = reach(this, addresses.map(canonical), depth);
    return new Map([...reached.keys()].map((caller) => [caller, pathFrom(caller, reached)]));
  }
}

/** An address as the graph knows it. */
export function canonical(address: string): string {
  const { path, name } = splitAddress(address);
  return name.includes('#') ? addressOf(path, withoutTwins(name)) : address;
}

function put(map: Map<string, Map<string, CallStep>>, from: string, to: string, step: CallStep): void {
  const steps = map.get(from);
  if (steps) steps.set(to, step);
  else map.set(from, new Map([[to, step]]));
}
