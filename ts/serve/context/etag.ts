/** Versions of current projects as entity tags (RFC 9110, sections 8.8.3 and 13.1). Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import { StompError } from '../../errors.js';

/** The tag of a version. */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The version that a change expects.
 * @param inBody `expected_version` of the body
 * @returns undefined when nothing is expected
 * @throws StompError INVALID_REQUEST for what is no tag of ours, and for two that differ
 */
export function expectedVersion(
  headers: IncomingHttpHeaders,
  inBody: number | undefined,
): number | undefined {
  const wanted = [ifMatch(headers['if-match']), ifNoneMatch(headers['if-none-match']), inBody];
  const given = wanted.filter((version) => version !== undefined);
  const [first] = given;
  if (given.some((version) => version !== first)) {
    throw invalid(
      'If-Match',
      given.join(' and '),
      'the same version as "expected_version" and If-None-Match',
    );
  }
  return first;
}

/** Whether a reader has this version already. */
export function isKnown(header: string | undefined, version: number): boolean {
  if (header === undefined) return false;
  const tags = header.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(etagOf(version));
}

function ifMatch(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const digits = /^\s*"(\d{1,15})"\s*$/.exec(header)?.[1];
  if (digits === undefined) throw invalid('If-Match', header, 'one ETag as this path gave it, such as "3"');
  return Number(digits);
}

/** Of a change it can only mean that there is nothing yet. */
function ifNoneMatch(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (header.trim() !== '*') throw invalid('If-None-Match', header, '*: nothing was ever set');
  return 0;
}

function invalid(field: string, value: string, allowed: string): StompError {
  return new StompError(
    'INVALID_REQUEST',
    `${field} must be ${allowed}, not ${JSON.stringify(value.slice(0, 80))}.`,
    { fields: { field, value: value.slice(0, 80), allowed } },
  );
}
