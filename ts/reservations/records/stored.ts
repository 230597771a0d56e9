/** What stores have in common: records as texts under a kind and an id. Pure. */

import { StompError } from '../../errors.js';
import { activityOf, endOf } from '../activity.js';
import type { Amendment, Intent, Reservation, Warning } from '../types.js';
import {
  kindOfAmendment,
  maxRecordBytes,
  type RecordKind,
  readRecord,
  recordText,
  type StoredRecord,
} from './records.js';
import type { Records } from './store.js';

/** Names a record in a store. */
export interface RecordKey {
  readonly kind: RecordKind;
  readonly id: string;
}

/** Gathers records; what cannot be used becomes a warning, and the rest goes on. */
export class RecordList implements Records {
  readonly reservations: Reservation[] = [];
  readonly intents: Intent[] = [];
  readonly amendments: Amendment[] = [];
  readonly warnings: Warning[] = [];

  /** @param subject what warnings call it */
  add({ kind, id }: RecordKey, text: string, subject: string): void {
    const read = readRecord(kind, id, text);
    if (typeof read === 'string') {
      this.warn(subject, read);
      return;
    }
    if (read.notes.length > 0) this.warn(subject, read.notes.join('; '));
    if (read.kind === 'reservations') this.reservations.push(read.record);
    else if (read.kind === 'intents') this.intents.push(read.record);
    else this.amendments.push(read.record);
  }

  warn(subject: string, reason: string): void {
    this.warnings.push({ subject, reason });
  }
}

/**
 * What is too large to be read again is not written.
 * @returns the text of the record
 * @throws StompError PAYLOAD_TOO_LARGE
 */
export function textToWrite(stored: StoredRecord): string {
  const text = recordText(stored);
  if (text.length <= maxRecordBytes) return text;
  throw new StompError(
    'PAYLOAD_TOO_LARGE',
    `The record has ${text.length} bytes; at most ${maxRecordBytes} are kept. Name fewer addresses, or whole files.`,
    { fields: { bytes: text.length, max_bytes: maxRecordBytes } },
  );
}

/**
 * What may be moved aside, in an order that revives nothing should it be cut off: intents before the reservation whose
 * end is theirs, and after it what has ended it.
 */
export function endedRecords(records: Records, before: Date): RecordKey[] {
  const { reservations, intents } = activityOf(records);
  const ended = reservations.filter((one) => endOf(one) < before).map((one) => one.reservationId);
  const known = new Set(ended);
  // Those of a reservation that cannot be read here stay: whoever can read it needs them.
  const amendments = records.amendments.filter(({ reservationId }) => known.has(reservationId));
  return [
    ...intents.filter((one) => one.expiresAt < before).map((one) => key('intents', one.intentId)),
    ...ended.map((id) => key('reservations', id)),
    ...amendments.map((one) => key(kindOfAmendment(one), one.id)),
  ];
}

function key(kind: RecordKind, id: string): RecordKey {
  return { kind, id };
}
