/** What has happened, in the order in which it was committed: clients that were away go on where they were. */
import { type Row, rows, type Storage, textOrNone, type Work } from '../../storage/storage.js';

/** Told to everybody who listens for events. */
export const eventChannel = 'clutch_events';

export interface StoredEvent {
  /** From 1, without gaps. */
  readonly seq: number;
  readonly type: string;
  /** None where it is of no run. */
  readonly runId: string | undefined;
  readonly at: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export type NewEvent = Omit<StoredEvent, 'seq'>;

/** The last thing that a transaction does: from here on others wait for its commit. */
export function* recordEvents(storage: Storage, events: readonly NewEvent[]): Work<void> {
  if (events.length === 0) return;
  const [row] = yield* rows('UPDATE clutch_last_event SET seq = seq + ? RETURNING seq', events.length);
  const first = Number(row?.seq) - events.length + 1;
  for (const [i, { type, runId, at, body }] of events.entries()) {
    yield* rows(
      'INSERT INTO clutch_events (seq, run_id, type, body, created_at) VALUES (?, ?, ?, ?, ?)',
      first + i,
      runId ?? null,
      type,
      JSON.stringify(body),
      at,
    );
  }
  yield* storage.notify(eventChannel);
}

/** In order, those after a number. */
export function* eventsAfter(seq: number, limit: number): Work<StoredEvent[]> {
  const found = yield* rows('SELECT * FROM clutch_events WHERE seq > ? ORDER BY seq LIMIT ?', seq, limit);
  return found.map(eventOf);
}

export function* lastEvent(): Work<number> {
  const [row] = yield* rows('SELECT seq FROM clutch_last_event');
  return Number(row?.seq);
}

function eventOf(row: Row): StoredEvent {
  return {
    seq: Number(row.seq),
    type: String(row.type),
    runId: textOrNone(row.run_id),
    at: Number(row.created_at),
    body: JSON.parse(String(row.body)),
  };
}
