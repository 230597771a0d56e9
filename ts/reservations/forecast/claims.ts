/** Who has announced what, arranged by agent and by address. */
import { canonical } from '../graph/build.js';
import { addressOf, containerOf, splitAddress } from '../symbols/address.js';
import type { Intent, Operation, Party, Reservation } from '../types.js';

/** All that one agent has announced for one address. */
export interface Claim {
  /** Tells agents apart. */
  readonly agent: string;
  /** Place of the agent, and of the key, among all: they make short names for pairs. */
  agentAt: number;
  keyAt: number;
  /** `run_id@branch` */
  readonly label: string;
  /** As it was announced. */
  readonly address: string;
  /** As the graph of calls knows it: the same for symbols that share a name. */
  readonly key: string;
  readonly path: string;
  readonly operations: Set<Operation>;
  /** Callers would have to change, too. */
  changesSignature: boolean;
}

const breaking: ReadonlySet<Operation> = new Set(['rename', 'move', 'delete']);
const saysSignature = /\b(signatures?|parameters?|params?|arguments?|args?|return(s| type| value))\b/i;

export class Claims {
  readonly all: readonly Claim[];
  readonly #byKey = new Map<string, Claim[]>();
  readonly #byPath = new Map<string, Claim[]>();

  constructor(reservations: readonly Reservation[], intents: readonly Intent[]) {
    const claims = new Map<string, Claim>();
    const add = (by: Party, addresses: readonly string[], operation: Operation | null, detail: string) => {
      for (const address of addresses) announce(claims, by, address, operation, detail);
    };
    for (const one of reservations) add(one, one.addresses, one.operation, '');
    for (const one of intents) add(one, one.addresses, one.operation, one.detail);
    this.all = [...claims.values()].sort((a, b) => compare(a.key, b.key) || compare(a.agent, b.agent));
    const agents = new Map<string, number>();
    const keys = new Map<string, number>();
    for (const claim of this.all) {
      claim.agentAt = placeIn(agents, claim.agent);
      claim.keyAt = placeIn(keys, claim.key);
      push(this.#byKey, claim.key, claim);
      push(this.#byPath, claim.path, claim);
    }
  }

  /** Keys that are claimed, and who claims them. */
  get keys(): Iterable<[string, readonly Claim[]]> {
    return this.#byKey;
  }

  /** Those of each file. */
  get paths(): Iterable<[string, readonly Claim[]]> {
    return this.#byPath;
  }

  on(key: string): readonly Claim[] {
    return this.#byKey.get(key) ?? [];
  }

  /** On what an address is inside of, from the innermost outwards; not on itself. */
  around(key: string): Claim[] {
    const found: Claim[] = [];
    for (let outer = containerOf(key); outer !== undefined; outer = containerOf(outer))
      found.push(...this.on(outer));
    return found;
  }
}

/** As conflicts name an agent. */
export function labelOf({ runId, branch }: Party): string {
  return `${runId}@${branch}`;
}

function announce(
  claims: Map<string, Claim>,
  by: Party,
  address: string,
  operation: Operation | null,
  detail: string,
): void {
  const key = canonical(address);
  const agent = JSON.stringify([by.runId, by.branch]);
  const id = `${agent}\n${key}`;
  const claim = claims.get(id) ?? {
    ...{
      agent,
      agentAt: 0,
      keyAt: 0,
      label: labelOf(by),
      address,
      key,
      path: splitAddress(key).path,
    },
    operations: new Set<Operation>(),
    changesSignature: false,
  };
  if (operation !== null) claim.operations.add(operation);
  if ((operation !== null && breaking.has(operation)) || saysSignature.test(detail))
    claim.changesSignature = true;
  claims.set(id, claim);
}

function placeIn(places: Map<string, number>, name: string): number {
  const place = places.get(name) ?? places.size;
  places.set(name, place);
  return place;
}

/** Names of symbols by file, for going from a class or a file to what is in it. */
export class Members {
  readonly #names: ReadonlyMap<string, readonly string[]>;

  constructor(names: ReadonlyMap<string, readonly string[]>) {
    this.#names = names;
  }

  /** Keys of everything inside of an address, and the address itself. */
  with(key: string): string[] {
    const { path, name } = splitAddress(key);
    const inside = (this.#names.get(path) ?? []).filter((one) => name === '' || one.startsWith(`${name}.`));
    return [key, ...inside.map((one) => canonical(addressOf(path, one)))];
  }
}

export function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function push(map: Map<string, Claim[]>, key: string, claim: Claim): void {
  const list = map.get(key);
  if (list) list.push(claim);
  else map.set(key, [claim]);
}
