/** Who reaches whom by calls. */
import type { CallGraph, CallStep } from './call-graph.js';

/**
 * Everybody who calls one of `addresses`, at most `depth` calls away, each with the first step of the shortest path to
 * it. The addresses themselves are not among them: what calls itself has no further reach.
 */
export function reach(
  graph: Pick<CallGraph, 'callers'>,
  addresses: readonly string[],
  depth: number,
): ReadonlyMap<string, CallStep> {
  const reached = new Map<string, CallStep>();
  const seen = new Set(addresses);
  let edge: readonly string[] = [...seen];
  for (let distance = 0; distance < depth && edge.length > 0; distance += 1) {
    const next: string[] = [];
    for (const step of edge.flatMap((address) => graph.callers(address))) {
      if (seen.has(step.caller)) continue;
      seen.add(step.caller);
      reached.set(step.caller, step);
      next.push(step.caller);
    }
    edge = next;
  }
  return reached;
}

/** The steps from a caller to the address that it reaches. */
export function pathFrom(caller: string, reached: ReadonlyMap<string, CallStep>): readonly CallStep[] {
  const path: CallStep[] = [];
  for (let step = reached.get(caller); step; step = reached.get(step.callee)) path.push(step);
  return path;
}
