/** Knowledge graphs in a database: the writes that count, the patches that wait. Work for transactions. */
import { createHash } from 'node:crypto';
import { type Row, rows, type SqlValue, type Work } from '../storage/storage.js';
import { type Merged, mergePatch, type Touched } from './graph-merge.js';
import {
  type Element,
  endsOf,
  type Facet,
  facets,
  GraphState,
  isRemoval,
  keyOf,
  type StampedWrites,
} from './graph-state.js';

/** A patch as it waits to be merged. */
export interface WaitingPatch {
  readonly sessionId: string;
  readonly patch: StampedWrites;
}

// Statements come in a few lengths only, as databases keep each one they have seen prepared.
const longestList = 128;

/** Merges a patch, all of it or nothing. @returns what came of it, and the version of the graph that it made */
export function* mergeWithin(graphId: string, patch: StampedWrites): Work<Merged & { version: number }> {
  const version = yield* lockedVersion(graphId);
  const state = yield* related(graphId, patch);
  const merged = mergePatch(state, patch, version + 1);
  if (merged.touched.length === 0) return { ...merged, version };
  yield* save(graphId, state, merged.touched);
  yield* rows('UPDATE stomp_graphs SET version = ? WHERE id = ?', version + 1, graphId);
  return { ...merged, version: version + 1 };
}

/** Keeps a patch until somebody merges it; twice the same is kept once. @returns the version of the graph now */
export function* keepWithin(graphId: string, waiting: WaitingPatch): Work<number> {
  const text = JSON.stringify(waiting);
  yield* rows(
    'INSERT INTO stomp_graph_pending (graph_id, id, patch) VALUES (?, ?, ?) ON CONFLICT (graph_id, id) DO NOTHING',
    graphId,
    digest(text),
    text,
  );
  return yield* versionOf(graphId);
}

/**
 * Takes patches that wait: `limit` at most, and no second one that makes them longer than `characters` together. They
 * are gone with the transaction.
 */
export function* takeWithin(graphId: string, limit: number, characters: number): Work<WaitingPatch[]> {
  // Two that take at once must not take the same.
  yield* lockedVersion(graphId);
  const found = yield* rows(
    'SELECT id, length(patch) AS length FROM stomp_graph_pending WHERE graph_id = ? ORDER BY id LIMIT ?',
    graphId,
    limit,
  );
  const taken: WaitingPatch[] = [];
  let length = 0;
  for (const row of found) {
    length += Number(row.length);
    if (taken.length > 0 && length > characters) break;
    const [one] = yield* rows(
      'DELETE FROM stomp_graph_pending WHERE graph_id = ? AND id = ? RETURNING patch',
      graphId,
      row.id ?? null,
    );
    taken.push(JSON.parse(String(one?.patch)) as WaitingPatch);
  }
  return taken;
}

export function* waitingWithin(graphId: string): Work<number> {
  const found = yield* rows('SELECT count(*) AS n FROM stomp_graph_pending WHERE graph_id = ?', graphId);
  return Number(found[0]?.n);
}

export function* readWithin(graphId: string): Work<{ version: number; state: GraphState }> {
  const version = yield* versionOf(graphId);
  const state = new GraphState();
  putAll(state, yield* rows(`SELECT ${columns} FROM stomp_graph_writes WHERE graph_id = ?`, graphId));
  return { version, state };
}

function* versionOf(graphId: string): Work<number> {
  const found = yield* rows('SELECT version FROM stomp_graphs WHERE id = ?', graphId);
  return Number(found[0]?.version ?? 0);
}

/** Keeps other changes of the graph out until the transaction ends, whether or not anybody holds a lease. */
function* lockedVersion(graphId: string): Work<number> {
  const found = yield* rows(
    `INSERT INTO stomp_graphs (id, version) VALUES (?, 0)
       ON CONFLICT (id) DO UPDATE SET version = stomp_graphs.version RETURNING version`,
    graphId,
  );
  return Number(found[0]?.version);
}

/** As much of the graph as the merge of a patch depends on. */
function* related(graphId: string, { writes }: StampedWrites): Work<GraphState> {
  const state = new GraphState();
  const elements = writes.map(({ element }) => element);
  const loaded = yield* load(graphId, state, withEnds(elements).map(digestOf), new Set());
  // Nodes that come or go take their edges along.
  const moving = writes
    .filter((write) => isRemoval(write) || !state.register(write.element, facets.add))
    .flatMap(({ element }) => (element[0] === 'node' ? [digestOf(element)] : []));
  const edges: string[] = [];
  for (const nodes of inLists([...new Set(moving)])) {
    const found = yield* rows(
      `SELECT edge FROM stomp_graph_ends WHERE graph_id = ? AND node IN (${marks(nodes.length)})`,
      graphId,
      ...nodes,
    );
    edges.push(...found.map(({ edge }) => String(edge)));
  }
  yield* load(graphId, state, edges, loaded);
  const known = Array.from(state.elements(), ({ element }) => element);
  yield* load(graphId, state, withEnds(known).map(digestOf), loaded);
  return state;
}

/** @param loaded digests of elements that the state has already; the others are added */
function* load(
  graphId: string,
  state: GraphState,
  elements: readonly string[],
  loaded: Set<string>,
): Work<Set<string>> {
  const missing = [...new Set(elements)].filter((element) => !loaded.has(element));
  for (const some of inLists(missing)) {
    const found = yield* rows(
      `SELECT ${columns} FROM stomp_graph_writes WHERE graph_id = ? AND element IN (${marks(some.length)})`,
      graphId,
      ...some,
    );
    putAll(state, found);
  }
  for (const element of missing) loaded.add(element);
  return loaded;
}

const columns = 'path, value, written_at, written_by, version';

function putAll(state: GraphState, found: readonly Row[]): void {
  for (const row of found) {
    const [element, facet] = JSON.parse(String(row.path)) as [Element, Facet];
    state.put(element, {
      facet,
      value: row.value === null ? null : String(row.value),
      timestamp: Number(row.written_at),
      agentId: String(row.written_by),
      version: Number(row.version),
    });
  }
}

function* save(graphId: string, state: GraphState, touched: readonly Touched[]): Work<void> {
  const kept = touched.flatMap(({ element, facet, register }) =>
    register ? [rowOf(graphId, element, facet, register)] : [],
  );
  for (const some of inLists(kept)) {
    yield* rows(
      `INSERT INTO stomp_graph_writes (graph_id, id, element, path, value, written_at, written_by, version)
       VALUES ${some.map((row) => `(${marks(row.length)})`).join(', ')}
       ON CONFLICT (graph_id, id) DO UPDATE SET value = excluded.value, written_at = excluded.written_at,
         written_by = excluded.written_by, version = excluded.version`,
      ...some.flat(),
    );
  }
  const dropped = touched.filter(({ register }) => !register);
  yield* remove(graphId, 'stomp_graph_writes', 'id', dropped.map(digestOfWrite));
  yield* saveEnds(graphId, state, touched);
}

/** Where to look for the edges at a node. */
function* saveEnds(graphId: string, state: GraphState, touched: readonly Touched[]): Work<void> {
  const edges = new Map(touched.map(({ element }) => [keyOf(element), element]));
  const isKnown = (element: Element) => (state.get(element)?.registers.size ?? 0) > 0;
  const known = [...edges.values()].filter(isKnown);
  const ends = known.flatMap((edge) => endsOf(edge).map((end) => [graphId, digestOf(end), digestOf(edge)]));
  for (const some of inLists(ends)) {
    yield* rows(
      `INSERT INTO stomp_graph_ends (graph_id, node, edge)
       VALUES ${some.map(() => '(?, ?, ?)').join(', ')} ON CONFLICT (graph_id, node, edge) DO NOTHING`,
      ...some.flat(),
    );
  }
  const gone = [...edges.values()].filter((element) => !isKnown(element));
  yield* remove(graphId, 'stomp_graph_ends', 'edge', gone.map(digestOf));
}

function* remove(graphId: string, table: string, column: string, digests: readonly string[]): Work<void> {
  for (const some of inLists(digests)) {
    yield* rows(
      `DELETE FROM ${table} WHERE graph_id = ? AND ${column} IN (${marks(some.length)})`,
      graphId,
      ...some,
    );
  }
}

function rowOf(
  graphId: string,
  element: Element,
  facet: Facet,
  { value, timestamp, agentId, version }: NonNullable<Touched['register']>,
): SqlValue[] {
  const path = JSON.stringify([element, facet]);
  return [graphId, digest(path), digestOf(element), path, value, timestamp, agentId, version];
}

function withEnds(elements: readonly Element[]): Element[] {
  return elements.flatMap((element) => [element, ...endsOf(element)]);
}

const digestOfWrite = ({ element, facet }: { element: Element; facet: Facet }) =>
  digest(JSON.stringify([element, facet]));

const digestOf = (element: Element) => digest(keyOf(element));

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** In pieces whose lengths are powers of two. */
function* inLists<T>(items: readonly T[]): Generator<readonly T[]> {
  let length = longestList;
  for (let at = 0; at < items.length; at += length) {
    while (length > items.length - at) length /= 2;
    yield items.slice(at, at + length);
  }
}

function marks(count: number): string {
  return Array(count).fill('?').join(', ');
}
