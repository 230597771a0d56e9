/** Events as rows, in the order in which they were committed: clients that were away go on where they were. */
import {
  numberOrNone,
  type Row,
  rows,
  type SqlValue,
  type Storage,
  type Work,
} from '../../storage/storage.js';
import type { ClutchEvent, NewEvent } from '../events/event.js';

/** Told to everybody who listens for events. */
export const eventChannel = 'clutch_events';

const columns = '(seq, run_id, type, body, created_at)';
/** So many go to the database at once; the others one by one, so that there are two statements and not ever new ones. */
const together = 32;

/** The last thing that a transaction does: from here on others wait for its commit. */
export function* recordEvents(storage: Storage, events: readonly NewEvent[]): Work<void> {
  if (events.length === 0) return;
  const [row] = yield* rows('UPDATE clutch_last_event SET seq = seq + ? RETURNING seq', events.length);
  const first = Number(row?.seq) - events.length + 1;
  for (let i = 0; i < events.length; ) {
    const count = events.length - i < together ? 1 : together;
    const part = events.slice(i, i + count);
    const places = part.map(() => '(?, ?, ?, ?, ?)').join(', ');
    const values = part.flatMap((event, n) => valuesOf(first + i + n, event));
    yield* rows(`INSERT INTO clutch_events ${columns} VALUES ${places}`, ...values);
    i += count;
  }
  yield* storage.notify(eventChannel);
}

/** In order, those after a number. */
export function* eventsAfter(seq: number, limit: number): Work<ClutchEvent[]> {
  const found = yield* rows('SELECT * FROM clutch_events WHERE seq > ? ORDER BY seq LIMIT ?', seq, limit);
  return found.map(eventOf);
}

export function* lastEvent(): Work<number> {
  const [row] = yield* rows('SELECT seq FROM clutch_last_event');
  return Number(row?.seq);
}

/** The lowest number that is kept; where none is, that of the next event. */
export function* oldestEvent(): Work<number> {
  const [row] = yield* rows('SELECT min(seq) AS oldest FROM clutch_events');
  return numberOrNone(row?.oldest) ?? (yield* lastEvent()) + 1;
}

/** @param last the last that goes */
export function* deleteEvents(last: number): Work<void> {
  yield* rows('DELETE FROM clutch_events WHERE seq <= ?', last);
}

/**
 * Notes that a bus records this batch, in the transaction that does so.
 * @param batch each one's is higher than that of the one before
 * @returns false when it is recorded already: the answer to its commit was lost
 */
export function* noteBatch(busId: string, batch: number, now: number): Work<boolean> {
  const [row] = yield* rows(
    `INSERT INTO clutch_batches (bus_id, batch, updated_at) VALUES (?, ?, ?)
     ON CONFLICT (bus_id) DO UPDATE SET batch = excluded.batch, updated_at = excluded.updated_at
       WHERE clutch_batches.batch < excluded.batch RETURNING batch`,
    busId,
    batch,
    now,
  );
  return row !== undefined;
}

/** It records nothing more. */
export function* forgetBus(busId: string): Work<void> {
  yield* rows('DELETE FROM clutch_batches WHERE bus_id = ?', busId);
}

/** Those of processes that have ended without a word. */
export function* forgetBusesBefore(time: number): Work<void> {
  yield* rows('DELETE FROM clutch_batches WHERE updated_at < ?', time);
}

function valuesOf(seq: number, { type, run_id, at, body }: NewEvent): SqlValue[] {
  return [seq, run_id, type, JSON.stringify(body), at];
}

function eventOf(row: Row): ClutchEvent {
  return {
    seq: Number(row.seq),
    type: row.type,
    run_id: String(row.run_id),
    at: Number(row.created_at),
    body: JSON.parse(String(row.body)),
  } as ClutchEvent;
}
