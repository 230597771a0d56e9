/** Entries of several calls in one transaction, each call for itself: all of its entries or none. */
import { isDeepStrictEqual } from 'node:util';
import { StompError } from '../errors.js';
import { chainedHash } from '../storage/log-text.js';
import { rows, type Storage, type Work } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { entryColumns, entryOf, insertEntries } from './entry-rows.js';
import { formatLine } from './line.js';
import { type Head, type LogState, lockHead, logState } from './log-rows.js';
import type { NewEntry } from './new-entry.js';

/** Who writes entries. */
export interface Writer {
  readonly agentId: string;
  /** Null for none. */
  readonly sessionId: string | null;
  /** Takes back a call that still waits for its turn. */
  readonly signal?: AbortSignal;
  /**
   * Runs in the transaction that stores the entries, perhaps more than once. What it throws, the call fails with, and
   * nothing of the call is stored.
   */
  readonly within?: () => Work<void>;
}

export interface BatchCall {
  readonly items: readonly NewEntry[];
  readonly who: Writer;
}

/** What became of a call. */
export interface Stored {
  /** One for each item, in their order, as stored now or before. */
  readonly entries: Entry[];
  /** Ids of those that were there before. */
  readonly duplicates: string[];
}

export interface Batch<Call extends BatchCall> {
  readonly storage: Storage;
  readonly project: string;
  /** Under which it is written; `0`: under no lease. */
  readonly token: string;
  /** Accepts the token, at the beginning of the transaction. */
  readonly accept: () => Work<void>;
  readonly calls: readonly Call[];
}

export interface BatchResult<Call> {
  readonly stored: Map<Call, Stored>;
  readonly failed: Map<Call, unknown>;
  /** After it; undefined when nothing is stored. */
  readonly state: LogState | undefined;
}

/** @throws StompError what fails for all of them: DB_BUSY, FENCED */
export async function storeBatch<Call extends BatchCall>(batch: Batch<Call>): Promise<BatchResult<Call>> {
  const failed = new Map<Call, unknown>();
  for (;;) {
    const calls = batch.calls.filter((call) => !failed.has(call));
    if (calls.length === 0) return { stored: new Map(), failed, state: undefined };
    const outcome = await transact(batch, calls);
    if (!(outcome instanceof SomeFailed)) return { ...outcome, failed };
    for (const call of calls) if (outcome.reasons.has(call)) failed.set(call, outcome.reasons.get(call));
  }
}

// PostgreSQL lets two transactions of two projects look for one id before either has stored it.
const mostCollisions = 3;
const uniqueViolation = '23505';

function transact<Call extends BatchCall>(
  batch: Batch<Call>,
  calls: readonly Call[],
  tries = mostCollisions,
): Promise<Attempted<Call> | SomeFailed> {
  return batch.storage
    .write(() => attempt({ ...batch, calls }))
    .catch((error: unknown) => {
      if (error instanceof SomeFailed) return error;
      const collided = error instanceof StompError && error.fields.sql_state === uniqueViolation;
      if (collided && tries > 1) return transact(batch, calls, tries - 1);
      throw error;
    });
}

/** Undoes the transaction, which is repeated without these calls: whatever they have done in it is gone. */
class SomeFailed extends StompError {
  readonly reasons: ReadonlyMap<BatchCall, unknown>;
  constructor(reasons: ReadonlyMap<BatchCall, unknown>) {
    super('INTERNAL_ERROR', 'Some calls of the batch have failed.');
    this.reasons = reasons;
  }
}

interface Attempted<Call> {
  readonly stored: Map<Call, Stored>;
  readonly state: LogState;
}

function* attempt<Call extends BatchCall>(batch: Batch<Call>): Work<Attempted<Call>> {
  yield* batch.accept();
  const head = yield* lockHead(batch.project);
  const ids = batch.calls.flatMap(({ items }) => items.map(({ id }) => id));
  const pen = new Pen(batch, head, yield* existing(ids));
  const stored = new Map<Call, Stored>();
  const reasons = new Map<Call, unknown>();
  for (const call of batch.calls) {
    try {
      if (call.who.within) yield* call.who.within();
      stored.set(call, pen.write(call));
    } catch (error) {
      reasons.set(call, error);
    }
  }
  if (reasons.size > 0) throw new SomeFailed(reasons);
  yield* insertEntries(pen.added);
  return { stored, state: yield* logState(batch.project) };
}

// A power of two: lists are filled up to one, so that there are few statements to prepare.
const mostIds = 512;

function* existing(ids: readonly string[]): Work<Map<string, Entry>> {
  const found = new Map<string, Entry>();
  for (let at = 0; at < ids.length; at += mostIds) {
    const some = filledUp(ids.slice(at, at + mostIds));
    const places = some.map(() => '?').join(', ');
    const there = yield* rows(`SELECT ${entryColumns} FROM entries WHERE id IN (${places})`, ...some);
    for (const entry of there.map(entryOf)) found.set(entry.id, entry);
  }
  return found;
}

function filledUp(ids: string[]): string[] {
  const length = 2 ** Math.ceil(Math.log2(ids.length));
  return [...ids, ...Array<string>(length - ids.length).fill(ids[0] ?? '')];
}

/** Numbers entries and chains their lines. */
class Pen {
  readonly added: Entry[] = [];
  readonly #batch: { readonly project: string; readonly token: string };
  readonly #known: Map<string, Entry>;
  /** Ids that this batch has stored already, in a transaction of whose end nobody has heard. */
  readonly #own: Set<string>;
  #line: number;
  #head: string;

  constructor(
    batch: { readonly project: string; readonly token: string },
    head: Head,
    known: Map<string, Entry>,
  ) {
    this.#batch = batch;
    this.#known = known;
    this.#line = head.entries;
    this.#head = head.head;
    const own = [...known.values()].filter(
      ({ token, project }) => token !== '0' && token === batch.token && project === batch.project,
    );
    this.#own = new Set(own.map(({ id }) => id));
  }

  /** @throws StompError ENTRY_EXISTS; the whole batch is then begun anew. */
  write({ items, who }: BatchCall): Stored {
    const duplicates: string[] = [];
    const entries = items.map((item) => {
      const there = this.#known.get(item.id);
      if (!there) return this.#add(item, who);
      checkSame(there, item, { project: this.#batch.project, agent: who.agentId });
      if (!this.#own.delete(item.id)) duplicates.push(item.id);
      return there;
    });
    return { entries, duplicates };
  }

  #add(item: NewEntry, who: Writer): Entry {
    const { timed: _, ...given } = item;
    const line = {
      ...given,
      project: this.#batch.project,
      line: ++this.#line,
      agent: who.agentId,
      session_id: who.sessionId,
      token: this.#batch.token,
    };
    this.#head = chainedHash(this.#head, formatLine(line));
    const entry = { ...line, sha256: this.#head };
    this.#known.set(entry.id, entry);
    this.added.push(entry);
    return entry;
  }
}

const compared = [
  'status',
  'emoji',
  'priority',
  'category',
  'tags',
  'confidence',
  'message',
  'meta',
] as const satisfies readonly (keyof NewEntry)[];

/** The time counts only where the caller gives it: whoever repeats a call does so later. */
function checkSame(
  there: Entry,
  item: NewEntry,
  { project, agent }: { project: string; agent: string },
): void {
  const same = compared.every((field) => isDeepStrictEqual(there[field], item[field]));
  if (same && there.project === project && there.agent === agent && (!item.timed || item.ts === there.ts))
    return;
  throw new StompError(
    'ENTRY_EXISTS',
    `There is another entry ${JSON.stringify(item.id)}: line ${there.line} of ${there.project}, by ${there.agent}. Write this one under another id, or leave the id out.`,
    {
      fields: {
        id: item.id,
        project: there.project,
        agent: there.agent,
        line: there.line,
        sha256: there.sha256,
        existing: preview(there.message),
        given: preview(item.message),
      },
    },
  );
}

function preview(message: string): string {
  const characters = [...message.slice(0, 200)];
  return characters.length > 80 ? `${characters.slice(0, 77).join('')}...` : message;
}
