/** Who is meant by a call. */
import { lastName } from '../symbols/address.js';
import type { ModuleSystem } from '../symbols/language.js';
import type { CallSite } from '../symbols/symbols.js';
import { addressOfEntity, type Entity, type Lookup, outerOf } from './lookup.js';
import { type ModuleView, withoutTwins } from './module-view.js';

export interface Callee {
  readonly address: string;
  readonly confidence: number;
}

const certain = 1;
// Only the name says so.
const likely = 0.5;
/** A name that more methods have says nothing. */
const mostCandidates = 3;

const ownReceivers: ReadonlySet<string> = new Set(['this', 'self', 'cls']);
const ownModules: ReadonlySet<string> = new Set(['exports', 'module.exports']);
const constructors = ['constructor', '__init__', '__new__'];

export class Callees {
  readonly #lookup: Lookup;
  readonly #methods = new Map<ModuleSystem, Map<string, Set<string>>>();

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
    for (const module of lookup.modules) this.#addMethods(module);
  }

  /** @param scope qualified name of the symbol that the call is in; empty outside of any. */
  of(call: CallSite, module: ModuleView, scope: string): readonly Callee[] {
    if (call.receiver === '') return this.#bare(call.name, module, scope);
    if (ownModules.has(call.receiver)) return this.#sure(this.#lookup.resolve(module, '', call.name));
    const owner = ownReceivers.has(call.receiver) || call.receiver === 'super';
    return owner ? this.#own(call, module, scope) : this.#other(call, module, scope);
  }

  #bare(name: string, module: ModuleView, scope: string): readonly Callee[] {
    if (name !== 'super') return this.#sure(this.#lookup.resolve(module, scope, name));
    const own = this.#classAround(module, scope);
    // In Python it is no call of anybody's; the constructor is called by its name.
    if (own === undefined || module.system !== 'script') return [];
    return this.#lookup.bases(own).flatMap((base) => this.#sure(base));
  }

  #own({ receiver, name }: CallSite, module: ModuleView, scope: string): readonly Callee[] {
    const own = this.#classAround(module, scope);
    if (own === undefined) return this.#byName(name, module);
    const places = receiver === 'super' ? this.#lookup.bases(own) : [own];
    const found = places.flatMap((place) => this.#lookup.member(place, name) ?? []);
    const [first] = found;
    return first ? this.#sure(first) : this.#byName(name, module);
  }

  #other({ receiver, name }: CallSite, module: ModuleView, scope: string): readonly Callee[] {
    const found = this.#lookup.resolve(module, scope, `${receiver}.${name}`);
    if (found) return this.#sure(found);
    return this.#lookup.isForeign(module, receiver) ? [] : this.#byName(name, module);
  }

  /** Who calls a class calls its constructor, too. */
  #sure(found: Entity | undefined): readonly Callee[] {
    if (found === undefined || found.name === '') return [];
    const callee = { address: addressOfEntity(found), confidence: certain };
    if (this.#lookup.symbolOf(found)?.kind !== 'class') return [callee];
    const made = constructors.flatMap((name) => this.#lookup.member(found, name) ?? []);
    return [callee, ...made.map((one) => ({ address: addressOfEntity(one), confidence: certain }))];
  }

  #classAround(module: ModuleView, scope: string): Entity | undefined {
    for (let name = scope; name !== ''; name = outerOf(name)) {
      if (module.symbol(name)?.kind === 'class') return { module, name };
    }
    return undefined;
  }

  #byName(name: string, module: ModuleView): readonly Callee[] {
    const found = this.#methods.get(module.system)?.get(name);
    if (found === undefined || found.size > mostCandidates) return [];
    return [...found].map((address) => ({ address, confidence: likely }));
  }

  #addMethods(module: ModuleView): void {
    const ofSystem = this.#methods.get(module.system) ?? new Map<string, Set<string>>();
    this.#methods.set(module.system, ofSystem);
    for (const { kind, name } of module.file.symbols) {
      if (kind !== 'method') continue;
      const own = lastName(name);
      const addresses = ofSystem.get(own) ?? new Set<string>();
      ofSystem.set(own, addresses.add(addressOfEntity({ module, name: withoutTwins(name) })));
    }
  }
}
