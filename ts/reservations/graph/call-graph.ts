/** Who calls whom in one state of a repository. */

/** One step of a path of calls. */
export interface CallStep {
  readonly caller: string;
  readonly callee: string;
  /** 1 when imports or the file itself say who is meant; less when only the name does. */
  readonly confidence: number;
}

/** Addresses are `<path>::<qualified name>`. */
export interface CallGraph {
  callees(address: string): readonly CallStep[];
  callers(address: string): readonly CallStep[];
  /**
   * Everybody who calls one of `addresses`, directly or through others, at most `depth` calls away, each with the
   * shortest path from it to the address.
   */
  callersWithin(addresses: readonly string[], depth: number): ReadonlyMap<string, readonly CallStep[]>;
}
