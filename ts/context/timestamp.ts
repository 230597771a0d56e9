/** Times as callers write them. Pure. */
import { refuse } from '../arguments.js';

const allowed =
  'an ISO date-time, "YYYY-MM-DD HH:MM:SS UTC", or milliseconds since 1970, up to the end of the year 9999';
const latestMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const written =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?: ?(UTC|Z)|([+-])(\d\d):?(\d\d))?$/i;

/**
 * Milliseconds since 1970. A time that names no offset is UTC.
 * @throws StompError INVALID_REQUEST
 */
export function timestampMs(timestamp: unknown): number {
  const ms = typeof timestamp === 'string' ? msOf(timestamp.trim()) : timestamp;
  const fits = Number.isSafeInteger(ms) && (ms as number) >= 0 && (ms as number) <= latestMs;
  return fits ? (ms as number) : refuse('timestamp', timestamp, allowed);
}

function msOf(text: string): number | undefined {
  const parts = written.exec(text);
  if (!parts) return undefined;
  const [, year = 0, month = 0, day, hour, minute, second] = parts.slice(0, 7).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second || 0));
  // There is no 30th of February, no 25th hour and no 61st second.
  if (date.toISOString().slice(0, 16) !== text.slice(0, 16).toUpperCase().replace(' ', 'T')) return undefined;
  const fraction = Number((parts[7] ?? '').slice(0, 3).padEnd(3, '0'));
  const offsetMinutes = offsetOf(parts[9], parts[10], parts[11]);
  return offsetMinutes === undefined ? undefined : date.getTime() + fraction - offsetMinutes * 60_000;
}

function offsetOf(sign: string | undefined, hours = '0', minutes = '0'): number | undefined {
  const [h, m] = [Number(hours), Number(minutes)];
  if (h > 23 || m > 59) return undefined;
  return (sign === '-' ? -1 : 1) * (60 * h + m);
}
