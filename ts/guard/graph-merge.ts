/** Merges one patch into a graph, by the rules of the state. Pure. */
import { conflictsOf, type GraphConflict, rivalsOf } from './graph-conflicts.js';
import {
  compareStamps,
  compareValues,
  type Element,
  type Facet,
  type GraphState,
  isRemoval,
  keyOf,
  type Register,
  type Shown,
  type Stamp,
  type StampedWrites,
  type Write,
} from './graph-state.js';

/** How what is seen of a graph has changed. */
export interface GraphCounts {
  nodesAdded: number;
  nodesRemoved: number;
  /** Those included that a node brings into sight. */
  edgesAdded: number;
  /** Those included that go with a node. */
  edgesRemoved: number;
  /** Properties that have another value than before, those of new nodes and edges included; nodes of another type. */
  propertiesUpdated: number;
  /** Properties that are gone while their node or edge is there. */
  propertiesCleared: number;
}

/** A write that counts from now on; without a register, one that does no more. */
export interface Touched {
  readonly element: Element;
  readonly facet: Facet;
  readonly register: Register | undefined;
}

export interface Merged {
  readonly touched: readonly Touched[];
  readonly counts: GraphCounts;
  readonly conflicts: readonly GraphConflict[];
}

/**
 * @param state changes; it holds what the patch writes to, the ends of its edges, and the edges at the nodes that come
 *   or go, with their ends
 * @param version of what changes
 */
export function mergePatch(state: GraphState, patch: StampedWrites, version: number): Merged {
  const before = state.allShown();
  const rivals = rivalsOf(state, patch);
  const touched = applyWrites(state, patch, version);
  const after = state.allShown();
  const conflicts = conflictsOf(rivals, (element) => after.has(keyOf(element)));
  return { touched, counts: countChanges(before, after), conflicts };
}

/** @returns what is to be kept and dropped; nothing when the state has all of it already */
function applyWrites(state: GraphState, patch: StampedWrites, version: number): Touched[] {
  const touched = new Map<string, Touched>();
  const note = (element: Element, facet: Facet) => {
    const register = state.register(element, facet);
    touched.set(`${keyOf(element)} ${keyOf(facet)}`, { element, facet, register });
  };
  const accept = ({ element, facet, value }: Write) => {
    const { timestamp, agentId } = patch;
    const register = { facet, value, timestamp, agentId, version };
    if (!isNewer(register, state.register(element, facet))) return false;
    state.put(element, register);
    note(element, facet);
    return true;
  };
  for (const write of patch.writes.filter(isRemoval)) {
    if (accept(write))
      for (const { element, facet } of dropVoid(state, write.element, patch)) note(element, facet);
  }
  for (const write of patch.writes) {
    if (!isRemoval(write) && !isVoid(state, write.element, patch)) accept(write);
  }
  return [...touched.values()];
}

function isNewer(register: Register, known: Register | undefined): boolean {
  if (!known) return true;
  return (compareStamps(register, known) || compareValues(register.value, known.value)) > 0;
}

function isVoid(state: GraphState, element: Element, stamp: Stamp): boolean {
  const removal = state.removalOver(element);
  return removal !== undefined && compareStamps(stamp, removal.register) <= 0;
}

function dropVoid(state: GraphState, removed: Element, stamp: Stamp): { element: Element; facet: Facet }[] {
  const dropped: { element: Element; facet: Facet }[] = [];
  for (const { element, registers } of state.coveredBy(removed)) {
    for (const [key, register] of registers) {
      if (isRemoval(register) || compareStamps(register, stamp) > 0) continue;
      registers.delete(key);
      dropped.push({ element, facet: register.facet });
    }
  }
  return dropped;
}

type View = ReadonlyMap<string, Shown>;

function countChanges(before: View, after: View): GraphCounts {
  const added = countMissing(after, before);
  const removed = countMissing(before, after);
  const counts: GraphCounts = {
    nodesAdded: added.nodes,
    nodesRemoved: removed.nodes,
    edgesAdded: added.edges,
    edgesRemoved: removed.edges,
    propertiesUpdated: 0,
    propertiesCleared: 0,
  };
  for (const [key, values] of after) {
    const old = before.get(key);
    counts.propertiesUpdated += countUpdated(old, values);
    for (const facet of old?.keys() ?? []) if (!values.has(facet)) counts.propertiesCleared++;
  }
  return counts;
}

const nodePrefix = '["node",';
const typeKey = keyOf(['type']);

/** Of what `view` shows and `other` does not. */
function countMissing(view: View, other: View): { nodes: number; edges: number } {
  const missing = [...view.keys()].filter((key) => !other.has(key));
  const nodes = missing.filter((key) => key.startsWith(nodePrefix)).length;
  return { nodes, edges: missing.length - nodes };
}

function countUpdated(old: Shown | undefined, values: Shown): number {
  let updated = 0;
  for (const [facet, value] of values) {
    // The type with which a node appears is part of the node.
    if (old?.get(facet) !== value && (old || facet !== typeKey)) updated++;
  }
  return updated;
}
