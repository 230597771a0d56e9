/**
 * What a knowledge graph is made of, and what is seen of it. Pure.
 *
 * Every patch is taken apart into writes: an element (a node, or an edge) is added or removed, a node is given a type,
 * a property is set or cleared. All writes of a patch bear its stamp, the timestamp and the agent. The graph is what
 * these rules make of the set of all writes. They do not ask for the order in which the writes came, nor how often,
 * nor in which patches they were put together:
 *
 * 1. Stamps are ordered by timestamp, then by the name of the agent.
 * 2. Of the removals of an element the latest counts. It is kept for good: a write from before it may come any time.
 * 3. A removal covers its element, that of a node also the edges at it. A write is void when it is no later than a
 *    removal that covers it: with the same stamp the removal wins, in one patch too.
 * 4. Of the other writes to one thing (that the element is there, its type, one property) the latest counts. With the
 *    same stamp, clearing beats setting, and of two values the one with the greater canonical JSON text wins.
 * 5. A node is seen when a write that adds it counts; an edge, when one that adds it counts and both its ends are seen;
 *    types and properties, when their element is seen. What is written of an element that is not seen yet waits.
 *
 * So what a removal took away, edges and properties, stays away when the node is added again: only what is written
 * after the removal counts. As removals only get later, what is void stays void, and it is dropped: of what was removed
 * only the removal is left, and of a cleared property that it was cleared.
 */

/** An edge is its source, target and type: named again, it is the same edge. */
export type Element = readonly ['node', string] | readonly ['edge', string, string, string];
export type Facet =
  | readonly ['add']
  | readonly ['remove']
  | readonly ['type']
  | readonly ['property', string];

/** Who wrote, and when by its own count. */
export interface Stamp {
  readonly timestamp: number;
  readonly agentId: string;
}

export interface Write {
  readonly element: Element;
  readonly facet: Facet;
  /** Canonical JSON; null for a property that is cleared. */
  readonly value: string | null;
}

/** A patch taken apart: one write to each thing. */
export interface StampedWrites extends Stamp {
  readonly writes: readonly Write[];
  /** What its author had read. */
  readonly baseVersion?: number;
}

/** The write that counts. */
export interface Register extends Stamp {
  readonly facet: Facet;
  readonly value: string | null;
  /** The version of the graph that it came with. */
  readonly version: number;
}

export interface ElementState {
  readonly element: Element;
  readonly registers: Map<string, Register>;
}

/** The latest removal that covers an element. */
export interface Removal {
  readonly element: Element;
  readonly register: Register;
}

/** What is seen of an element: values, by the key of their facet. */
export type Shown = ReadonlyMap<string, string>;

/** One text for one element or facet. */
export const keyOf = (part: Element | Facet): string => JSON.stringify(part);

export const isRemoval = ({ facet }: { readonly facet: Facet }): boolean => facet[0] === 'remove';

export const facets = { add: ['add'], remove: ['remove'], type: ['type'] } as const;
const addKey = keyOf(facets.add);
const removeKey = keyOf(facets.remove);

export function endsOf(element: Element): readonly Element[] {
  if (element[0] === 'node') return [];
  const [, source, target] = element;
  return source === target
    ? [['node', source]]
    : [
        ['node', source],
        ['node', target],
      ];
}

/** By code units, the same on every machine. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
  return compareTexts(a.agentId, b.agentId);
}

/** Rule 4, for the same stamp. */
export function compareValues(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return compareTexts(a, b);
}

/** A graph, or as much of it as the elements that somebody looks at depend on. */
export class GraphState {
  readonly #elements = new Map<string, ElementState>();
  /** By the key of a node, the edges at it. */
  readonly #edges = new Map<string, Set<ElementState>>();

  elements(): IterableIterator<ElementState> {
    return this.#elements.values();
  }

  get(element: Element): ElementState | undefined {
    return this.#elements.get(keyOf(element));
  }

  register(element: Element, facet: Facet): Register | undefined {
    return this.get(element)?.registers.get(keyOf(facet));
  }

  put(element: Element, register: Register): void {
    this.#known(element).registers.set(keyOf(register.facet), register);
  }

  /** What a removal of this element covers. */
  coveredBy(element: Element): ElementState[] {
    const own = this.get(element);
    return [...(own ? [own] : []), ...(this.#edges.get(keyOf(element)) ?? [])];
  }

  removalOver(element: Element): Removal | undefined {
    let latest: Removal | undefined;
    for (const covering of [element, ...endsOf(element)]) {
      const register = this.get(covering)?.registers.get(removeKey);
      if (register && (!latest || compareStamps(register, latest.register) > 0)) {
        latest = { element: covering, register };
      }
    }
    return latest;
  }

  /** Undefined when it is not seen. Nothing void is kept: whatever counts is here, and the rest is not. */
  shown(element: Element): Shown | undefined {
    const found = this.get(element);
    if (!found || ![element, ...endsOf(element)].every((one) => this.#isThere(one))) return undefined;
    const values = new Map<string, string>();
    for (const [key, { value }] of found.registers) {
      if (key !== addKey && key !== removeKey && value !== null) values.set(key, value);
    }
    return values;
  }

  /** Everything that is seen, by the key of the element. */
  allShown(): Map<string, Shown> {
    const seen = new Map<string, Shown>();
    for (const [key, { element }] of this.#elements) {
      const shown = this.shown(element);
      if (shown) seen.set(key, shown);
    }
    return seen;
  }

  #isThere(element: Element): boolean {
    return this.get(element)?.registers.has(addKey) ?? false;
  }

  #known(element: Element): ElementState {
    const key = keyOf(element);
    const known = this.#elements.get(key);
    if (known) return known;
    const fresh = { element, registers: new Map() };
    this.#elements.set(key, fresh);
    for (const end of endsOf(element)) {
      const edges = this.#edges.get(keyOf(end)) ?? new Set();
      this.#edges.set(keyOf(end), edges.add(fresh));
    }
    return fresh;
  }
}
