/**
 * Knowledge graphs that several agents change: every change is merged, in whatever order the changes come.
 *
 * A patch is merged under a short lease, in one transaction that also asks the fence: from a holder that has lost its
 * lease nothing is merged. A patch that finds the graph held for longer than its caller waits is kept beside it, with
 * its own stamp, and merged by whoever next has the graph: the outcome is the same. The rules are those of
 * `graph-state.ts`; what was removed is remembered for good, so that a late patch does not bring it back.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { checkFields, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Storage, Work } from '../storage/storage.js';
import type { GraphConflict } from './graph-conflicts.js';
import { contentOf, type GraphEdge, type GraphNode } from './graph-content.js';
import type { GraphCounts, Merged } from './graph-merge.js';
import { type GraphPatch, stampedWrites } from './graph-patch.js';
import { graphMigrations } from './graph-schema.js';
import {
  keepWithin,
  mergeWithin,
  readWithin,
  takeWithin,
  type WaitingPatch,
  waitingWithin,
} from './graph-store.js';
import type { Owner } from './lock-table.js';
import type { Maasl, StompGuardOptions } from './maasl.js';
import type { ResourceDescriptor } from './resources.js';
import type { StompGuard } from './stomp-guard.js';

/**
 * Whose patch it is and how patient the caller is. Whoever holds the graph over several steps, by
 * `maasl.stompGuard`, merges under that lease: the same agent and session, and its `token`.
 */
export type GraphCall = Omit<StompGuardOptions, 'intent' | 'idempotencyKey'>;

/** What became of a patch. */
export interface MergeResult extends GraphCounts {
  /** Of the graph now; it rises by one with every patch that changes something. */
  version: number;
  /** Somebody else holds the graph: the patch is kept, and merged when the graph is free. The counts are then 0. */
  pending: boolean;
  /** Where the patch and the graph disagree, with the side that won. */
  conflicts: readonly GraphConflict[];
  /** The token under which it was merged. */
  token: bigint | undefined;
}

/** A graph as it is seen now. */
export interface KnowledgeGraph {
  /** 0 for one that nobody has written to. */
  version: number;
  /** How many patches wait for the graph to be free. */
  pending: number;
  /** By id. */
  nodes: GraphNode[];
  /** By source, target and type. */
  edges: GraphEdge[];
}

const callFields = ['mode', 'agentId', 'sessionId', 'maxWaitMs', 'ttlMs', 'token', 'signal'];
const maxNameLength = 256;
// Of patches that wait, in one transaction: it must end long before the lease, which is not renewed meanwhile.
const largestBatch = 32;
const longestBatch = 2 ** 18;
const nothing: GraphCounts = {
  nodesAdded: 0,
  nodesRemoved: 0,
  edgesAdded: 0,
  edgesRemoved: 0,
  propertiesUpdated: 0,
  propertiesCleared: 0,
};

/** A patch that was merged, and whose it was. */
interface Settled extends WaitingPatch {
  readonly merged: Merged & { readonly version: number };
}

/** Keeps knowledge graphs that several agents patch at once. */
export class GraphGuard {
  readonly #maasl: Maasl;
  readonly #storage: Storage;
  /** Those who read and say no name. */
  readonly #reader: Owner = { agentId: 'graph-reader', sessionId: randomUUID() };

  private constructor(maasl: Maasl, storage: Storage) {
    this.#maasl = maasl;
    this.#storage = storage;
  }

  /** @throws StompError CONFIG_INVALID without a database, DB_BUSY */
  static async open(maasl: Maasl): Promise<GraphGuard> {
    maasl.fences; // refuses at once what every merge would
    const storage = maasl.storage as Storage;
    await storage.migrate(graphMigrations);
    return new GraphGuard(maasl, storage);
  }

  /**
   * Merges a patch, all of it or nothing. The same patch merged again changes nothing.
   * @throws StompError FENCED when `call.token` or the lease is no longer good; DB_BUSY, CANCELLED, INVALID_REQUEST,
   *   UNSUPPORTED_FIELD, PAYLOAD_TOO_LARGE; RESOURCE_BUSY only where the configuration has MERGE_META fail closed
   */
  async merge(graphId: string, patch: GraphPatch, call: GraphCall): Promise<MergeResult> {
    checkName('graphId', graphId);
    checkFields('call', call, callFields);
    checkOwner(call);
    const { agentId, sessionId } = call;
    const waiting: WaitingPatch = { sessionId, patch: stampedWrites(patch, agentId) };
    const began = performance.now();
    try {
      const op = (guard: StompGuard) =>
        guard.open.length > 0 ? this.#keep(graphId, waiting) : this.#mergeOwn(graphId, waiting, guard);
      const result = await this.#guarded('merge_graph', graphId, call, op);
      this.#tell(graphId, waiting, { ...result, outcome: 'ok', duration_ms: since(began) });
      return result;
    } catch (error) {
      const outcome = error instanceof StompError ? error.code : 'failed';
      this.#tell(graphId, waiting, { outcome, duration_ms: since(began) });
      if (error instanceof StompError && outcome === 'FENCED') this.#maasl.telemetry.fenced(call, error);
      throw error;
    }
  }

  /**
   * The graph as it is; one that nobody has written to is empty. Merges first what waits, if nobody holds the graph.
   * @param reader who holds the graph, if it is the caller
   * @throws StompError DB_BUSY, INVALID_REQUEST
   */
  async read(graphId: string, reader: Owner = this.#reader): Promise<KnowledgeGraph> {
    checkName('graphId', graphId);
    checkFields('reader', reader, ['agentId', 'sessionId']);
    checkOwner(reader);
    const waiting = await this.#storage.read(() => waitingWithin(graphId));
    if (waiting > 0) await this.#mergeIfFree(graphId, reader);
    return this.#storage.read(function* () {
      const { version, state } = yield* readWithin(graphId);
      return { version, pending: yield* waitingWithin(graphId), ...contentOf(state) };
    });
  }

  // ---- below ----

  #guarded<T>(
    intent: string,
    graphId: string,
    call: GraphCall,
    op: (guard: StompGuard) => Promise<T>,
  ): Promise<T> {
    const resource: ResourceDescriptor = { resourceClass: 'MERGE_META', identifier: graphId };
    return this.#maasl.callWithStompGuard(op, [resource], { ...call, intent });
  }

  async #keep(graphId: string, waiting: WaitingPatch): Promise<MergeResult> {
    const version = await this.#storage.write(() => keepWithin(graphId, waiting));
    return { ...nothing, version, pending: true, conflicts: [], token: undefined };
  }

  async #mergeOwn(graphId: string, waiting: WaitingPatch, guard: StompGuard): Promise<MergeResult> {
    // First what waits: to the author of this patch it has come in between.
    await this.#mergeWaiting(graphId, guard);
    const { counts, conflicts, version } = await this.#fenced(guard, () =>
      mergeWithin(graphId, waiting.patch),
    );
    guard.committed();
    const [token] = guard.tokens.values();
    return { ...counts, version, pending: false, conflicts, token };
  }

  async #mergeWaiting(graphId: string, guard: StompGuard): Promise<void> {
    while ((await this.#storage.read(() => waitingWithin(graphId))) > 0) {
      const began = performance.now();
      const settled = await this.#fenced(guard, () => settleWithin(graphId));
      for (const one of settled) this.#tellLate(graphId, one, guard, since(began));
      // SQLite lets nothing else have a turn: the lease is to be renewed, others are to be served.
      await setImmediate();
    }
  }

  async #mergeIfFree(graphId: string, reader: Owner): Promise<void> {
    const op = async (guard: StompGuard) => {
      if (guard.open.length > 0) return;
      await this.#mergeWaiting(graphId, guard);
      guard.committed();
    };
    try {
      await this.#guarded('read_graph', graphId, { ...reader, maxWaitMs: 0 }, op);
    } catch (error) {
      // Somebody has the graph, or has got it in between: what waits goes on waiting, and can be read of.
      const taken = ['RESOURCE_BUSY', 'LEASE_LOST', 'FENCED', 'DB_BUSY'];
      if (!(error instanceof StompError && taken.includes(error.code))) throw error;
    }
  }

  /** A transaction that is undone when the lease is no longer good. */
  #fenced<T>(guard: StompGuard, work: () => Work<T>): Promise<T> {
    const { fences } = this.#maasl;
    return this.#storage.write(function* () {
      const result = yield* work();
      // Last, as it keeps others from the lock table until the transaction ends.
      yield* fences.acceptWithin(guard.tokens);
      return result;
    });
  }

  #tellLate(graphId: string, settled: Settled, guard: StompGuard, durationMs: number): void {
    const { counts, conflicts, version } = settled.merged;
    this.#tell(graphId, settled, {
      ...counts,
      version,
      conflicts,
      pending: false,
      outcome: 'ok',
      merged_by_agent_id: guard.agentId,
      duration_ms: durationMs,
    });
  }

  #tell(graphId: string, { sessionId, patch }: WaitingPatch, what: Told): void {
    const { pending = false, conflicts = [], version, outcome, duration_ms, merged_by_agent_id } = what;
    const counts = { ...nothing, ...what };
    this.#maasl.telemetry.emit({
      event: 'graph_merge',
      agent_id: patch.agentId,
      session_id: sessionId,
      resource_key: this.#maasl.policy.keyOf(this.#maasl.policy.get('MERGE_META'), graphId),
      nodes_added: counts.nodesAdded,
      nodes_removed: counts.nodesRemoved,
      edges_added: counts.edgesAdded,
      edges_removed: counts.edgesRemoved,
      properties_updated: counts.propertiesUpdated,
      properties_cleared: counts.propertiesCleared,
      conflicts: conflicts.length,
      pending,
      ...(version === undefined ? {} : { version }),
      ...(merged_by_agent_id === undefined ? {} : { merged_by_agent_id }),
      duration_ms,
      outcome,
    });
  }
}

interface Told extends Partial<Omit<MergeResult, 'token'>> {
  outcome: string;
  duration_ms: number;
  merged_by_agent_id?: string;
}

function* settleWithin(graphId: string): Work<Settled[]> {
  const settled: Settled[] = [];
  for (const waiting of yield* takeWithin(graphId, largestBatch, longestBatch)) {
    settled.push({ ...waiting, merged: yield* mergeWithin(graphId, waiting.patch) });
  }
  return settled;
}

const since = (began: number) => Math.round(performance.now() - began);

function checkOwner({ agentId, sessionId }: Owner): void {
  checkName('agentId', agentId);
  checkName('sessionId', sessionId);
}

/** A text that every database gives back as it was. */
function checkName(field: string, value: unknown): void {
  const fits =
    typeof value === 'string' &&
    value !== '' &&
    value.length <= maxNameLength &&
    !/[\0\p{Surrogate}]/u.test(value);
  if (!fits) refuse(field, value, `a well-formed text of 1 to ${maxNameLength} characters`);
}
