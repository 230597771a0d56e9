/**
 * Records of schema version 1, as Python's `json.dumps(…, indent=2)` writes them. What is added to the schema follows its
 * fields, where readers that do not know it pass over it. Pure.
 */
import { type Amendment, type Intent, type Operation, operations, type Reservation } from '../types.js';
import {
  addressesIn,
  detailIn,
  isRecordId,
  leasesIn,
  nameOf,
  optionalName,
  type RawRecord,
  rawRecord,
  timeIn,
  Unusable,
} from './fields.js';
import { isoTime } from './iso-time.js';

/** Kinds of records, by the folders that they lie in. */
export const recordKinds = ['reservations', 'intents', 'releases', 'renewals'] as const;
export type RecordKind = (typeof recordKinds)[number];

/** Bytes; a larger one is not read, and none is written. */
export const maxRecordBytes = 1024 * 1024;

/** An intent without a reservation lives so long. */
export const defaultTtlSeconds = 3600;

/** A record under its kind. */
export type StoredRecord =
  | { readonly kind: 'reservations'; readonly record: Reservation }
  | { readonly kind: 'intents'; readonly record: Intent }
  | { readonly kind: 'releases' | 'renewals'; readonly record: Amendment };

/** A record that could be read, with what had to be left out of it. */
export type ReadRecord = StoredRecord & { readonly notes: readonly string[] };

/** The kind of an amendment. */
export function kindOfAmendment({ kind }: Amendment): 'releases' | 'renewals' {
  return kind === 'release' ? 'releases' : 'renewals';
}

export function idOf(stored: StoredRecord): string {
  if (stored.kind === 'reservations') return stored.record.reservationId;
  return stored.kind === 'intents' ? stored.record.intentId : stored.record.id;
}

/** Text of a record: ASCII, since Python reads files in the encoding of the locale. */
export function recordText(stored: StoredRecord): string {
  const json = JSON.stringify(fieldsOf(stored), null, 2);
  const ascii = json.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${ascii}\n`;
}

function fieldsOf(stored: StoredRecord): object {
  if (stored.kind === 'reservations') return reservationFields(stored.record);
  return stored.kind === 'intents' ? intentFields(stored.record) : amendmentFields(stored.record);
}

function reservationFields(it: Reservation): object {
  return {
    schema_version: 1,
    reservation_id: it.reservationId,
    run_id: it.runId,
    branch: it.branch,
    addresses: it.addresses,
    created_at: isoTime(it.createdAt),
    expires_at: isoTime(it.expiresAt),
    operation: it.operation,
    ...(it.leases && { leases: it.leases }),
    ...(it.leaseSession && { lease_session: it.leaseSession }),
  };
}

function intentFields(it: Intent): object {
  return {
    schema_version: 1,
    intent_id: it.intentId,
    reservation_id: it.reservationId,
    run_id: it.runId,
    branch: it.branch,
    addresses: it.addresses,
    operation: it.operation,
    created_at: isoTime(it.createdAt),
    detail: it.detail,
  };
}

function amendmentFields(it: Amendment): object {
  return {
    schema_version: 1,
    [it.kind === 'release' ? 'release_id' : 'renewal_id']: it.id,
    reservation_id: it.reservationId,
    run_id: it.runId,
    created_at: isoTime(it.createdAt),
    ...(it.expiresAt && { expires_at: isoTime(it.expiresAt) }),
  };
}

/**
 * @param id under which it is kept
 * @returns the record, or why it cannot be used
 */
export function readRecord(kind: RecordKind, id: string, text: string): ReadRecord | string {
  try {
    return readAs(kind, id, rawRecord(parsed(text)));
  } catch (error) {
    if (error instanceof Unusable) return error.message;
    throw error;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Unusable(text.trim() === '' ? 'is empty' : 'is no JSON, or only the beginning of it');
  }
}

function readAs(kind: RecordKind, id: string, raw: RawRecord): ReadRecord {
  const notes: string[] = [];
  if (kind === 'reservations') return { kind, record: reservationIn(raw, id, notes), notes };
  if (kind === 'intents') return { kind, record: intentIn(raw, id), notes };
  return { kind, record: amendmentIn(kind, raw, id), notes };
}

function reservationIn(raw: RawRecord, id: string, notes: string[]): Reservation {
  const leases = noted(notes, undefined, () => leasesIn(raw));
  const leaseSession = noted(notes, '', () => optionalName(raw, 'lease_session'));
  return {
    reservationId: checkId(raw, 'reservation_id', id),
    runId: nameOf(raw, 'run_id'),
    branch: optionalName(raw, 'branch'),
    addresses: addressesIn(raw),
    createdAt: timeIn(raw, 'created_at'),
    expiresAt: timeIn(raw, 'expires_at'),
    // The symbols are reserved whatever it is that will be done with them.
    operation: noted(notes, null, () => operationIn(raw)),
    ...(leases && { leases }),
    ...(leaseSession && { leaseSession }),
  };
}

function intentIn(raw: RawRecord, id: string): Intent {
  const operation = operationIn(raw);
  if (operation === null) throw new Unusable('operation is missing');
  const createdAt = timeIn(raw, 'created_at');
  return {
    intentId: checkId(raw, 'intent_id', id),
    reservationId: optionalName(raw, 'reservation_id'),
    runId: nameOf(raw, 'run_id'),
    branch: optionalName(raw, 'branch'),
    addresses: addressesIn(raw),
    operation,
    createdAt,
    detail: detailIn(raw),
    // Until its reservation is known.
    expiresAt: new Date(createdAt.getTime() + defaultTtlSeconds * 1000),
  };
}

function amendmentIn(kind: 'releases' | 'renewals', raw: RawRecord, id: string): Amendment {
  const isRelease = kind === 'releases';
  return {
    id: checkId(raw, isRelease ? 'release_id' : 'renewal_id', id),
    kind: isRelease ? 'release' : 'renewal',
    reservationId: nameOf(raw, 'reservation_id'),
    runId: nameOf(raw, 'run_id'),
    createdAt: timeIn(raw, 'created_at'),
    ...(isRelease ? {} : { expiresAt: timeIn(raw, 'expires_at') }),
  };
}

/** Two records of one id would stand for each other. */
function checkId(raw: RawRecord, field: string, id: string): string {
  const own = nameOf(raw, field);
  if (!isRecordId(own)) throw new Unusable(`${field} is no id`);
  if (own !== id) throw new Unusable(`its name is not its ${field}`);
  return own;
}

function operationIn({ operation }: RawRecord): Operation | null {
  if (operation === undefined || operation === null || operation === '') return null;
  const known = operations.find((one) => one === operation);
  if (known) return known;
  throw new Unusable(`operation is none of ${operations.join(', ')}`);
}

/** What a record is of use without. */
function noted<T>(notes: string[], fallback: T, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    notes.push(`${error.message}: read without it`);
    return fallback;
  }
}
