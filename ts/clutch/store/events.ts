/** Events as rows, in the order in which they were committed: clients that were away go on where they were. */
import { type Row, rows, type Storage, type Work } from '../../storage/storage.js';
import type { ClutchEvent, NewEvent } from '../events/event.js';

/** Told to everybody who listens for events. */
export const eventChannel = 'clutch_events';

/** The last thing that a transaction does: from here on others wait for its commit. */
export function* recordEvents(storage: Storage, events: readonly NewEvent[]): Work<void> {
  if (events.length === 0) return;
  const [row] = yield* rows('UPDATE clutch_last_event SET seq = seq + ? RETURNING seq', events.length);
  const first = Number(row?.seq) - events.length + 1;
  for (const [i, { type, run_id, at, body }] of events.entries()) {
    yield* rows(
      'INSERT INTO clutch_events (seq, run_id, type, body, created_at) VALUES (?, ?, ?, ?, ?)',
      first + i,
      run_id,
      type,
      JSON.stringify(body),
      at,
    );
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

function eventOf(row: Row): ClutchEvent {
  return {
    seq: Number(row.seq),
    type: row.type,
    run_id: String(row.run_id),
    at: Number(row.created_at),
    body: JSON.parse(String(row.body)),
  } as ClutchEvent;
}
