/** The stomp guard: resource classes say how to lock, the lock manager locks, the operation runs with its tokens. */
import { checkChoice, checkFields, checkNumber, checkSignal, checkText, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { type Clock, machineClock } from './clock.js';
import { ResourceBusyError } from './errors.js';
import { Fences, highestToken } from './fences.js';
import { overlap } from './keys.js';
import type { Lease } from './lease.js';
import { checkOwner, LockManager } from './lock-manager.js';
import { MemoryTable } from './memory-table.js';
import { PolicyRegistry, type ResourceClass, type WaitMode } from './policy.js';
import { type ResolvedResource, type ResourceDescriptor, resolveResources } from './resources.js';
import { SharedCalls } from './shared-calls.js';
import { StompGuard } from './stomp-guard.js';
import { Telemetry, type TelemetrySink } from './telemetry.js';

/** Where locks are kept, and by which rules. */
export interface MaaslOptions {
  /**
   * Where locks, fences and graphs are kept: a file for SQLite, `postgres://…` for PostgreSQL, or a storage that the
   * caller closes. Without it there are only locks of this process, and nothing durable can be guarded.
   */
  database?: string | Storage;
  /** `memory`: locks of this process only, also where there is a database for the rest. */
  locks?: 'database' | 'memory';
  /** The table `[maasl]` of a TOML file. */
  maasl?: Readonly<Record<string, unknown>>;
  sink?: TelemetrySink;
  clock?: Clock;
}

/** Who calls, what for, and how patiently. */
export interface StompGuardOptions {
  /** What for, in a word or two, for whoever watches: `write_file`. */
  intent: string;
  /** How patient the caller is. @default 'interactive' */
  mode?: WaitMode;
  agentId: string;
  sessionId: string;
  /** Instead of what the resource classes say. */
  maxWaitMs?: number;
  /** Instead of what the resource classes say. It is renewed while the operation runs. */
  ttlMs?: number;
  /** The token under which the caller believes to hold the resource already. */
  token?: bigint;
  /**
   * Of `idempotent` resources: who asks for the same while it is at work in this process gets its result, and the
   * operation runs once.
   */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

const callFields = [
  'intent',
  'mode',
  'agentId',
  'sessionId',
  'maxWaitMs',
  'ttlMs',
  'token',
  'idempotencyKey',
  'signal',
];
const optionFields = ['database', 'locks', 'maasl', 'sink', 'clock'];

/** The multi-agent anti-stomp layer: guarded calls, their policy, locks and telemetry. */
export class Maasl {
  readonly policy: PolicyRegistry;
  readonly locks: LockManager;
  readonly telemetry: Telemetry;
  /** Undefined without a database. */
  readonly storage: Storage | undefined;
  readonly #fences: Fences | undefined;
  readonly #ownsStorage: boolean;
  readonly #shared = new SharedCalls();

  private constructor(parts: {
    policy: PolicyRegistry;
    locks: LockManager;
    telemetry: Telemetry;
    storage: Storage | undefined;
    fences: Fences | undefined;
    ownsStorage: boolean;
  }) {
    this.policy = parts.policy;
    this.locks = parts.locks;
    this.telemetry = parts.telemetry;
    this.storage = parts.storage;
    this.#fences = parts.fences;
    this.#ownsStorage = parts.ownsStorage;
  }

  /** @throws StompError CONFIG_INVALID, DB_BUSY, INVALID_REQUEST */
  static async open(options: MaaslOptions = {}): Promise<Maasl> {
    checkFields('options', options, optionFields);
    const { database, maasl, sink, clock = machineClock } = options;
    const policy = new PolicyRegistry(maasl);
    const telemetry = new Telemetry(sink);
    const kind = checkChoice('locks', options.locks, database === undefined ? 'memory' : 'database', [
      'database',
      'memory',
    ] as const);
    if (kind === 'database' && database === undefined) refuse('database', database, 'a file or an address');
    const ownsStorage = typeof database === 'string';
    const storage = ownsStorage ? await (await import('../storage/open.js')).openStorage(database) : database;
    try {
      const table = await lockTable(kind, storage, clock);
      const fences = storage && (await Fences.open(storage, table));
      const locks = new LockManager({ table, clock, telemetry });
      return new Maasl({ policy, locks, telemetry, storage, fences, ownsStorage });
    } catch (error) {
      if (ownsStorage) await storage?.close();
      throw error;
    }
  }

  /**
   * Where what is durable keeps its tokens.
   * @throws StompError CONFIG_INVALID without a database
   */
  get fences(): Fences {
    if (this.#fences) return this.#fences;
    throw new StompError(
      'CONFIG_INVALID',
      'Files, graphs and docs outlive this process, the locks in its memory do not: name a database to keep them in.',
      { fields: { setting: 'database' } },
    );
  }

  /**
   * Takes the resources, runs `op` with their tokens, and gives them back however it ends.
   * @throws whatever `op` throws, as it is; StompError RESOURCE_BUSY, LEASE_LOST, FENCED, CANCELLED,
   *   UNKNOWN_RESOURCE_CLASS, INVALID_REQUEST
   */
  async callWithStompGuard<T>(
    op: (guard: StompGuard) => T | Promise<T>,
    resources: readonly ResourceDescriptor[],
    options: StompGuardOptions,
  ): Promise<T> {
    if (typeof op !== 'function') refuse('op', op, 'a function');
    const { idempotencyKey } = options;
    const resolved = await this.#resolve(resources, options);
    const once =
      resolved.length > 0 &&
      resolved.every(({ resourceClass }) => resourceClass.concurrency === 'idempotent');
    if (!once || idempotencyKey === undefined) return this.#call(op, resolved, options);
    const name = JSON.stringify([idempotencyKey, ...resolved.map(({ key }) => key)]);
    const { agentId, sessionId, signal } = options;
    const key = resolved[0]?.key ?? '';
    const follower = { agentId, sessionId, key, maxWaitMs: this.#maxWaitMs(resolved, options), signal };
    return this.#shared.run(name, follower, () => this.#call(op, resolved, options));
  }

  /**
   * The same for `await using`: holds the resources until it is disposed of. Call `release()` instead to hear of a
   * lease that was lost.
   */
  async stompGuard(
    resources: readonly ResourceDescriptor[],
    options: StompGuardOptions,
  ): Promise<StompGuard> {
    return this.#enter(await this.#resolve(resources, options), options);
  }

  /** Refuses those who wait, gives back every lease, and closes the database if it was opened here. */
  async close(): Promise<void> {
    await this.locks.close();
    if (this.#ownsStorage) await this.storage?.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #resolve(
    resources: readonly ResourceDescriptor[],
    options: StompGuardOptions,
  ): Promise<ResolvedResource[]> {
    checkFields('options', options, callFields);
    checkOwner(options);
    if (options.intent === undefined) refuse('intent', options.intent, 'a word for what is done');
    checkText('intent', options.intent, '', 256);
    checkChoice('mode', options.mode, 'interactive', ['interactive', 'batch'] as const);
    checkSignal('signal', options.signal);
    checkNumber('maxWaitMs', options.maxWaitMs, 0, { min: 0, max: Number.MAX_SAFE_INTEGER });
    if (!Array.isArray(resources)) refuse('resources', resources, 'a list of resources');
    return resolveResources(this.policy, resources);
  }

  async #call<T>(
    op: (guard: StompGuard) => T | Promise<T>,
    resources: ResolvedResource[],
    options: StompGuardOptions,
  ): Promise<T> {
    const guard = await this.#enter(resources, options);
    let result: T;
    try {
      result = await op(guard);
    } catch (error) {
      await guard.leave(error);
      throw error;
    }
    await guard.release();
    return result;
  }

  async #enter(resources: ResolvedResource[], options: StompGuardOptions): Promise<StompGuard> {
    const began = performance.now();
    const tell = (outcome: string, releaseFailure?: string) =>
      this.telemetry.emit({
        event: 'stomp_guard_call',
        agent_id: options.agentId,
        session_id: options.sessionId,
        intent: options.intent,
        mode: options.mode ?? 'interactive',
        resources: resources.map(({ key }) => key),
        duration_ms: Math.round(performance.now() - began),
        outcome,
        ...(releaseFailure === undefined ? {} : { release_failure: releaseFailure }),
      });
    const taken = await this.#acquire(resources, options).catch((error: unknown) => {
      tell(error instanceof StompError ? error.code : 'failed');
      throw error;
    });
    const guard = new StompGuard({ options, ...taken, end: tell });
    await guard.checkToken(options.token);
    return guard;
  }

  /** Without those that stay open to others, should they be busy: changes of them are merged. */
  async #acquire(
    resources: ResolvedResource[],
    options: StompGuardOptions,
  ): Promise<{ lease: Lease | undefined; open: string[] }> {
    const open: string[] = [];
    let wanted = this.policy.enabled ? resources.filter(needsLock) : [];
    const deadline = performance.now() + this.#maxWaitMs(wanted, options);
    while (wanted.length > 0) {
      const taken = await this.#lease(wanted, Math.round(deadline - performance.now()), options).catch(
        (error: unknown) => leftOpen(wanted, error),
      );
      if (!('key' in taken)) return { lease: taken, open };
      open.push(taken.key);
      wanted = wanted.filter((resource) => resource !== taken);
    }
    return { lease: undefined, open };
  }

  #lease(wanted: readonly ResolvedResource[], maxWaitMs: number, options: StompGuardOptions): Promise<Lease> {
    const { agentId, sessionId, signal } = options;
    const ttlMs = options.ttlMs ?? Math.min(...wanted.map(({ resourceClass }) => resourceClass.leaseTtlMs));
    return this.locks.acquire(
      wanted.map(({ key, access }) => ({ key, mode: access === 'read' ? 'shared' : 'exclusive' })),
      {
        agentId,
        sessionId,
        ttlMs,
        maxWaitMs: Math.max(0, maxWaitMs),
        autoRenew: true,
        ...(signal ? { signal } : {}),
      },
    );
  }

  /** One for the whole set: that of its most patient class. */
  #maxWaitMs(resources: readonly ResolvedResource[], options: StompGuardOptions): number {
    const { maxWaitMs, mode = 'interactive' } = options;
    return (
      maxWaitMs ??
      Math.max(0, ...resources.map(({ resourceClass }) => this.policy.maxWaitMs(resourceClass, mode)))
    );
  }
}

/** The resource that is busy, if its class is one that then leaves it open. */
function leftOpen(wanted: readonly ResolvedResource[], error: unknown): ResolvedResource {
  const held = error instanceof ResourceBusyError ? String(error.fields.resource_key) : '';
  const busy = wanted.find(({ key }) => overlap(key, held));
  if (busy?.resourceClass.strategy !== 'fail_open_merge') throw error;
  return busy;
}

/** Readers beside a single writer see one state of the resource without a lock. */
function needsLock({ access, resourceClass }: { access: string; resourceClass: ResourceClass }): boolean {
  return !(access === 'read' && resourceClass.concurrency === 'single_writer');
}

async function lockTable(kind: 'database' | 'memory', storage: Storage | undefined, clock: Clock) {
  if (kind === 'memory' || !storage)
    return new MemoryTable({ clock, above: storage ? await highestOf(storage) : 0n });
  const { SqlTable } = await import('./sql-table.js');
  return SqlTable.open({ storage, clock });
}

async function highestOf(storage: Storage): Promise<bigint> {
  const { lockMigrations } = await import('./sql-schema.js');
  await storage.migrate(lockMigrations);
  return highestToken(storage);
}
