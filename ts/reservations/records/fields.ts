/** Fields of records that anybody may have written: read by their type, or told why not. Pure. */
import { isLine, maxAddressLength, readAddress } from '../symbols/given-address.js';
import { timeOf } from './iso-time.js';

/** Why a record cannot be used. */
export class Unusable extends Error {}

/** More characters than this no name of an agent, branch or record has. */
export const maxNameLength = 256;
/** So many characters may tell what will be done. */
export const maxDetailLength = 10_000;
/** Of one record. */
export const maxAddresses = 1000;

const idForm = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;

export type RawRecord = Readonly<Record<string, unknown>>;

/** Whether a text may be the id, and so the file's name, of a record. */
export function isRecordId(value: unknown): value is string {
  return typeof value === 'string' && idForm.test(value);
}

/** @throws Unusable */
export function rawRecord(value: unknown): RawRecord {
  if (typeof value !== 'object' || value === null)
    throw new Unusable(`holds ${value === null ? 'null' : `a ${typeof value}`}, no object`);
  if (Array.isArray(value)) throw new Unusable('holds a list, no object');
  const raw = value as RawRecord;
  const version = raw.schema_version ?? 1;
  if (version === 1) return raw;
  const later = typeof version === 'number' && version > 1;
  throw new Unusable(later ? `is of the later schema version ${version}` : 'schema_version is no version');
}

/** Text that must be there. @throws Unusable */
export function nameOf(raw: RawRecord, field: string): string {
  const value = raw[field];
  if (value === undefined || value === null || value === '') throw new Unusable(`${field} is missing`);
  if (isLine(value, maxNameLength)) return value;
  throw new Unusable(`${field} is no text of one line and at most ${maxNameLength} characters`);
}

/** The same, empty where it is not there. @throws Unusable */
export function optionalName(raw: RawRecord, field: string): string {
  const value = raw[field];
  return value === undefined || value === null || value === '' ? '' : nameOf(raw, field);
}

/** @throws Unusable */
export function timeIn(raw: RawRecord, field: string): Date {
  const value = raw[field];
  if (value === undefined || value === null || value === '') throw new Unusable(`${field} is missing`);
  const time = typeof value === 'string' ? timeOf(value) : 'is no text';
  if (typeof time === 'string') throw new Unusable(`${field} ${time}`);
  return time;
}

/** Also those that would not be written here. @throws Unusable */
export function addressesIn(raw: RawRecord): string[] {
  const { addresses } = raw;
  if (addresses === undefined || addresses === null) throw new Unusable('addresses is missing');
  if (!Array.isArray(addresses)) throw new Unusable('addresses is no list');
  if (addresses.length > maxAddresses) throw new Unusable(`addresses has more than ${maxAddresses} entries`);
  const bad = addresses.findIndex((address) => !isLine(address, maxAddressLength));
  if (bad < 0) return addresses.map(readAddress);
  throw new Unusable(`addresses[${bad}] is no text of one line and at most ${maxAddressLength} characters`);
}

/** @throws Unusable */
export function detailIn(raw: RawRecord): string {
  const { detail = '' } = raw;
  if (isDetail(detail)) return detail;
  throw new Unusable(`detail is no text of at most ${maxDetailLength} characters without control characters`);
}

/** Lines of text, which terminals show as they are. */
export function isDetail(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxDetailLength && !unfitDetail.test(value);
}

const unfitDetail = /(?![\t\n\r])\p{Cc}|\p{Surrogate}/u;

/** @throws Unusable */
export function leasesIn(raw: RawRecord): Record<string, number> | undefined {
  const { leases } = raw;
  if (leases === undefined || leases === null) return undefined;
  if (typeof leases !== 'object' || Array.isArray(leases)) throw new Unusable('leases is no object');
  const entries = Object.entries(leases);
  const fits = entries.every(([key, token]) => key !== '' && Number.isSafeInteger(token) && token > 0);
  if (!fits) throw new Unusable('leases are no whole numbers by key');
  return Object.fromEntries(entries) as Record<string, number>;
}
