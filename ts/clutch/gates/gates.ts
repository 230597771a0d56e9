/**
 * The gates of all runs. A gate is a row: it outlives the process that opened it, and whoever decides does so by one
 * claim of that row, before anything is executed. Whoever waits for one waits for nothing else.
 */
import { randomUUID } from 'node:crypto';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import type { Storage } from '../../storage/storage.js';
import type { WallClock } from '../../storage/wall-clock.js';
import { Bells } from '../bell.js';
import { recordEvents } from '../store/events.js';
import type { Payload, Preview } from '../tools/run-tool.js';
import { digestOf, type Gate, type GateKind } from './gate.js';
import { decidedEvent, gateEvent, openedEvent, ruleEvent } from './gate-events.js';
import {
  abortGates,
  claimGate,
  expireGates,
  findGate,
  type GateFilter,
  insertGate,
  listGates,
  nextDeadline,
  showAgain,
} from './gate-rows.js';
import { changedError, notFound, refusal } from './refusals.js';
import { deleteRule, insertRule, listRules, type Rule } from './rules.js';

export interface GatesOptions {
  readonly storage: Storage;
  readonly clock: WallClock;
  /**
   * What a payload comes to with these fields of it changed, checked as the model's own would be.
   * @throws StompError INVALID_REQUEST, PATH_DENIED: the gate stays as it is
   */
  readonly revise: (gate: Gate, edits: Payload) => Promise<{ payload: Payload; preview: Preview }>;
  /** Failures with no caller to reject. */
  readonly onWarning: (error: unknown) => void;
}

export interface GateRequest {
  /** The same each time that a run asks for the same: it is opened once. */
  readonly id: string;
  readonly runId: string;
  readonly ticketId?: string | undefined;
  readonly kind: GateKind;
  /** Of a call. */
  readonly tool?: string | undefined;
  readonly payload: Payload;
  readonly preview: Preview;
  readonly requester: string;
  /** Undecided for so long, it is denied. */
  readonly timeoutMs: number;
}

/** What a person decides at a gate. */
export interface Decision {
  /** `abort`: rejected, and the whole run with it. */
  readonly decision: 'approve' | 'reject' | 'abort';
  /** Fields of the payload that are to be others. */
  readonly edits?: Payload | undefined;
  readonly reason?: string | undefined;
  /** The revision that was seen. */
  readonly revision: number;
  /** What later calls of this run need not ask again. */
  readonly remember?: { readonly tool: string; readonly folder: string } | undefined;
  /** Who decides. */
  readonly by: string;
}

/** Told to everybody who waits for a decision. */
const decisionChannel = 'clutch_decisions';
/** Timers stand still while a machine sleeps, and clocks do not. */
const longestTimerMs = 2000;
/** How long to wait before the database is asked again where it was out of reach. */
const retryMs = 1000;

/** All gates of a storage. */
export class Gates {
  readonly #options: GatesOptions;
  readonly #bells = new Bells();
  #unlisten: Promise<() => Promise<void>> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: GatesOptions) {
    this.#options = options;
  }

  /** Shows something to the person, or finds that it is shown, or even decided, already. */
  async open(request: GateRequest): Promise<Gate> {
    const { storage, clock } = this.#options;
    const gate = await storage.write(function* () {
      const known = yield* findGate(request.id);
      if (known) return known;
      const now = yield* clock.now();
      const made = gateOf(request, now);
      yield* insertGate(made);
      yield* recordEvents(storage, [openedEvent(made)]);
      return made;
    });
    await this.#watchDeadlines();
    return gate;
  }

  /** @throws StompError APPROVAL_NOT_FOUND */
  async get(id: string): Promise<Gate> {
    const gate = await this.#options.storage.read(() => findGate(id));
    return gate ?? notFound(id);
  }

  /** Those that wait, the longest first; then those that do not any more, the newest first. */
  list(filter: Partial<GateFilter> = {}): Promise<Gate[]> {
    const { status, runId, limit = 100 } = filter;
    return this.#options.storage.read(() => listGates({ status, runId, limit }));
  }

  /**
   * Decides. Of all who try, one succeeds.
   * @throws StompError APPROVAL_NOT_FOUND, APPROVAL_DECIDED, APPROVAL_EXPIRED, APPROVAL_CHANGED with the current
   *   revision, INVALID_REQUEST, and what is wrong with the edits
   */
  async decide(id: string, decision: Decision): Promise<Gate> {
    const { storage, clock } = this.#options;
    if (decision.reason?.includes('\0')) refuse('reason', decision.reason, 'a text without NUL characters');
    const before = await this.get(id);
    const now = await storage.read(() => clock.now());
    const refused = refusal(before, decision.revision, now);
    if (refused) throw refused;
    const changed = await this.#changed(before, decision);
    const decided = await storage.write(function* () {
      const at = yield* clock.now();
      const verdict = { status: statusOf(decision), by: plainName(decision.by), reason: decision.reason, at };
      const gate = yield* claimGate(before, changed, verdict);
      if (!gate) return { gate: yield* findGate(id), at, claimed: false };
      const events = [decidedEvent(gate)];
      if (decision.remember && decision.decision === 'approve') {
        const rule: Rule = {
          id: randomUUID(),
          runId: gate.runId,
          ...decision.remember,
          gateId: id,
          madeBy: plainName(decision.by),
          createdAt: at,
        };
        yield* insertRule(rule);
        events.push(ruleEvent('rule_made', rule, at));
      }
      yield* recordEvents(storage, events);
      yield* storage.notify(decisionChannel);
      return { gate, at, claimed: true };
    });
    if (!decided.gate) return notFound(id);
    if (!decided.claimed)
      throw refusal(decided.gate, decision.revision, decided.at) ?? changedError(decided.gate);
    this.#bells.ring(id);
    return decided.gate;
  }

  /** What would happen is no longer what is shown: a file has changed, for example. No effect on one that is decided. */
  async show(id: string, shown: { payload: Payload; preview: Preview }): Promise<Gate> {
    const { storage, clock } = this.#options;
    return storage.write(function* () {
      const before = yield* findGate(id);
      if (!before) return notFound(id);
      const digest = digestOf({ kind: before.kind, ...shown });
      if (before.status !== 'pending' || before.digest === digest) return before;
      const gate = yield* showAgain(before, { ...shown, digest });
      if (!gate) return before;
      yield* recordEvents(storage, [gateEvent('gate_changed', gate, yield* clock.now())]);
      return gate;
    });
  }

  /**
   * Waits until it is decided, by whoever, in whatever process, or its time is over.
   * @throws what the signal gives as its reason; StompError APPROVAL_NOT_FOUND, SHUTTING_DOWN
   */
  async settled(id: string, signal: AbortSignal): Promise<Gate> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed) throw new StompError('SHUTTING_DOWN', 'The gates are closed.');
      const wait = this.#bells.listen(id, signal);
      try {
        await this.#listen();
        const gate = await this.get(id).catch((error: unknown) => this.#awayFor(error));
        if (gate && gate.status !== 'pending') return gate;
        await wait.told;
      } finally {
        wait.end();
      }
    }
  }

  /** A run is over: nobody needs to decide for it any more. */
  async abortRun(runId: string, by: string): Promise<readonly Gate[]> {
    const { storage, clock } = this.#options;
    const aborted = await storage.write(function* () {
      const gates = yield* abortGates(runId, by, yield* clock.now());
      yield* recordEvents(storage, gates.map(decidedEvent));
      if (gates.length > 0) yield* storage.notify(decisionChannel);
      return gates;
    });
    for (const { id } of aborted) this.#bells.ring(id);
    return aborted;
  }

  /** Of a run, or of all. */
  rules(runId?: string): Promise<Rule[]> {
    return this.#options.storage.read(() => listRules(runId));
  }

  /** @throws StompError NOT_FOUND */
  async revoke(ruleId: string): Promise<Rule> {
    const { storage, clock } = this.#options;
    const rule = await storage.write(function* () {
      const gone = yield* deleteRule(ruleId);
      if (gone) yield* recordEvents(storage, [ruleEvent('rule_revoked', gone, yield* clock.now())]);
      return gone;
    });
    if (rule) return rule;
    throw new StompError('NOT_FOUND', `There is no rule ${ruleId}; it may have been revoked already.`, {
      fields: { rule: ruleId },
    });
  }

  /** Denies those whose time is over. */
  async expire(): Promise<void> {
    const { storage, clock } = this.#options;
    const expired = await storage.write(function* () {
      const gates = yield* expireGates(yield* clock.now());
      yield* recordEvents(storage, gates.map(decidedEvent));
      if (gates.length > 0) yield* storage.notify(decisionChannel);
      return gates;
    });
    for (const { id } of expired) this.#bells.ring(id);
  }

  /** Whoever waits is sent away; the gates stay. May be called again. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#bells.ringAll();
    const unlisten = await this.#unlisten?.catch(() => undefined);
    this.#unlisten = undefined;
    await unlisten?.();
  }

  async #changed(
    before: Gate,
    { decision, edits }: Decision,
  ): Promise<Pick<Gate, 'payload' | 'preview' | 'digest'>> {
    if (decision !== 'approve' || edits === undefined) return before;
    const unknown = Object.keys(edits).find((name) => !Object.hasOwn(before.payload, name));
    if (unknown !== undefined) {
      const names = Object.keys(before.payload).join(', ');
      throw new StompError(
        'INVALID_REQUEST',
        `${JSON.stringify(unknown)} cannot be edited here; there are ${names}.`,
        {
          fields: { field: `edits.${unknown}`, allowed: Object.keys(before.payload) },
        },
      );
    }
    const { payload, preview } = await this.#options.revise(before, edits);
    return { payload, preview, digest: digestOf({ kind: before.kind, payload, preview }) };
  }

  /** A database that is away for a minute does not end a wait. */
  #awayFor(error: unknown): undefined {
    if (!(error instanceof StompError) || error.code !== 'DB_BUSY') throw error;
    setTimeout(() => this.#bells.ringAll(), retryMs).unref();
    return undefined;
  }

  async #listen(): Promise<void> {
    this.#unlisten ??= this.#options.storage.listen(decisionChannel, () => this.#bells.ringAll());
    try {
      await this.#unlisten;
    } catch (error) {
      this.#unlisten = undefined;
      this.#awayFor(error);
    }
    await this.#watchDeadlines();
  }

  /** @param afterMs not before that, though a time may be over already */
  async #watchDeadlines(afterMs = 0): Promise<void> {
    if (this.#closed) return;
    const { storage, clock, onWarning } = this.#options;
    const next = await storage
      .read(function* () {
        const deadline = yield* nextDeadline();
        return deadline === undefined ? undefined : deadline - (yield* clock.now());
      })
      .catch(() => retryMs);
    clearTimeout(this.#timer);
    if (next === undefined || this.#closed) return;
    const due = () =>
      this.expire().then(
        () => this.#watchDeadlines(),
        (error: unknown) => {
          onWarning(error);
          return this.#watchDeadlines(retryMs);
        },
      );
    const waitMs = Math.max(next, afterMs);
    const isLong = waitMs > longestTimerMs;
    const call = isLong ? () => this.#watchDeadlines() : due;
    this.#timer = setTimeout(() => void call(), isLong ? longestTimerMs : waitMs).unref();
  }
}

function gateOf(request: GateRequest, now: number): Gate {
  const { timeoutMs, ...shown } = request;
  return {
    ...shown,
    ticketId: request.ticketId,
    tool: request.tool,
    status: 'pending',
    revision: 1,
    proposed: request.payload,
    digest: digestOf(request),
    createdAt: now,
    deadlineAt: now + timeoutMs,
    decidedAt: undefined,
    decidedBy: undefined,
    reason: undefined,
  };
}

function statusOf({ decision, edits }: Decision): 'approved' | 'edited' | 'rejected' | 'aborted' {
  if (decision === 'approve') return edits === undefined ? 'approved' : 'edited';
  return decision === 'reject' ? 'rejected' : 'aborted';
}

/** What a client calls itself may hold anything. */
function plainName(name: string): string {
  return name.replaceAll('\0', '').slice(0, 200);
}
