/** Where a patch and what was in the graph before it disagree. Pure. */
import type { JsonValue } from './canonical-json.js';
import {
  compareStamps,
  compareValues,
  type Element,
  type Facet,
  facets,
  type GraphState,
  isRemoval,
  keyOf,
  type Register,
  type StampedWrites,
  type Write,
} from './graph-state.js';

/** An edge is its source, target and type. */
export interface EdgeKey {
  /** Id of a node. */
  source: string;
  /** Id of a node. */
  target: string;
  type: string;
}

/** One thing that is written to a graph. */
export interface GraphChange {
  kind: 'node' | 'edge' | 'type' | 'property';
  action: 'add' | 'remove' | 'set' | 'clear';
  /** Id of the node that it is of. */
  node?: string;
  /** The edge that it is of. */
  edge?: EdgeKey;
  /** Name of the property. */
  property?: string;
  /** What a type or a property is set to. */
  value?: JsonValue;
}

/**
 * Two writes that cannot both count: one of the patch, and one in the graph that is later, or that has come since the
 * patch's base version.
 */
export interface GraphConflict {
  /** Whose is seen now. */
  winner: 'patch' | 'graph';
  patch: GraphChange;
  /** Who wrote it, by which timestamp, and the version of the graph that it came with. */
  graph: GraphChange & { agentId: string; timestamp: number; version: number };
}

/** A write of the patch and one in the graph against it. */
export interface Rival {
  readonly write: Write;
  readonly element: Element;
  readonly register: Register;
  /** Undefined: the patch, if it is seen in the end. */
  readonly winner: 'patch' | 'graph' | undefined;
}

type Found = Omit<Rival, 'write'>;

/** To be asked for before the patch is merged. */
export function rivalsOf(state: GraphState, patch: StampedWrites): Rival[] {
  const removed = new Set(patch.writes.filter(isRemoval).map(({ element }) => keyOf(element)));
  return patch.writes.flatMap((write) => {
    const find = isRemoval(write) ? rivalsOfRemoval : rivalsOfWrite;
    const found = find(state, patch, write).filter((rival) => !isOwn(rival, patch, removed));
    return found.map((rival) => ({ write, ...rival }));
  });
}

/** @param isShown whether it is seen after the merge */
export function conflictsOf(
  rivals: readonly Rival[],
  isShown: (element: Element) => boolean,
): GraphConflict[] {
  return rivals.map(({ write, element, register, winner }) => {
    const { agentId, timestamp, version } = register;
    return {
      winner: winner ?? (isShown(write.element) ? 'patch' : 'graph'),
      patch: changeOf(write.element, write.facet, write.value),
      graph: { ...changeOf(element, register.facet, register.value), agentId, timestamp, version },
    };
  });
}

/** The patch has come before, and this removal with it. */
function isOwn({ element, register }: Found, patch: StampedWrites, removed: ReadonlySet<string>): boolean {
  return isRemoval(register) && compareStamps(register, patch) === 0 && removed.has(keyOf(element));
}

const isSince = ({ version }: Register, { baseVersion }: StampedWrites) =>
  baseVersion !== undefined && version > baseVersion;

function rivalsOfWrite(state: GraphState, patch: StampedWrites, { element, facet, value }: Write): Found[] {
  const removal = state.removalOver(element);
  if (removal && compareStamps(removal.register, patch) >= 0) return [{ ...removal, winner: 'graph' }];
  const found: Found[] = [];
  if (removal && isSince(removal.register, patch)) found.push({ ...removal, winner: undefined });
  const register = state.register(element, facet);
  if (!register || register.value === value) return found;
  const order = compareStamps(register, patch) || compareValues(register.value, value);
  if (order > 0) found.push({ element, register, winner: 'graph' });
  else if (isSince(register, patch)) found.push({ element, register, winner: 'patch' });
  return found;
}

/** That it was added later; and, of what goes with it, what its author had not seen. */
function rivalsOfRemoval(state: GraphState, patch: StampedWrites, { element }: Write): Found[] {
  const added = state.register(element, facets.add);
  const lost: Found[] =
    added && compareStamps(added, patch) > 0 ? [{ element, register: added, winner: 'graph' }] : [];
  const gone = state
    .coveredBy(element)
    .flatMap((covered) => Array.from(covered.registers.values(), (register) => ({ ...covered, register })))
    .filter(({ register }) => register.value !== null && !isRemoval(register))
    .filter(({ register }) => compareStamps(register, patch) <= 0 && isSince(register, patch));
  return [
    ...lost,
    ...gone.map((one): Found => ({ element: one.element, register: one.register, winner: 'patch' })),
  ];
}

function changeOf(element: Element, facet: Facet, value: string | null): GraphChange {
  return { ...whatOf(element[0], facet, value), ...placeOf(element) };
}

function whatOf(kind: 'node' | 'edge', facet: Facet, value: string | null) {
  const [what, property] = facet;
  if (what === 'add' || what === 'remove') return { kind, action: what };
  const name = property === undefined ? { kind: what } : { kind: what, property };
  return value === null
    ? { ...name, action: 'clear' as const }
    : { ...name, action: 'set' as const, value: JSON.parse(value) as JsonValue };
}

function placeOf(element: Element): { node: string } | { edge: EdgeKey } {
  if (element[0] === 'node') return { node: element[1] };
  const [, source, target, type] = element;
  return { edge: { source, target, type } };
}
