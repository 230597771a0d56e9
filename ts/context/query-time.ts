/** Times as callers write them. */
import { refuse } from '../arguments.js';
import { dayMs } from './query-derived.js';

/** The bounds of what a `Date` can hold. */
export const earliestMs = -8_640_000_000_000_000;
export const latestMs = -earliestMs - 1;

const dateTime = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(.*))?$/i;
const allowed =
  'milliseconds since 1970, a date YYYY-MM-DD, or an ISO date-time such as 2026-01-31T12:00:00Z';

/**
 * @param side which moment of what is named: a date names its day, 12:00 a minute, 12:00:07 a second
 * @returns milliseconds since 1970
 */
export function timeOf(field: string, value: unknown, side: 'first' | 'last'): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number') {
    const fits = Number.isInteger(value) && value >= earliestMs && value <= latestMs;
    return fits ? value : refuse(field, value, allowed);
  }
  const named = typeof value === 'string' ? spanOf(value) : undefined;
  if (!named) return refuse(field, value, allowed);
  return side === 'first' ? named.firstMs : named.firstMs + named.lengthMs - 1;
}

function spanOf(text: string): { firstMs: number; lengthMs: number } | undefined {
  const match = dateTime.exec(text);
  const dayStart = dayOf(match?.[1] ?? '');
  if (!match || dayStart === undefined) return undefined;
  const [, , hour, minute, second, fraction, zone = ''] = match;
  if (hour === undefined) return { firstMs: dayStart, lengthMs: dayMs };
  const offsetMs = offsetOf(zone);
  if (offsetMs === undefined || !isTime(Number(hour), Number(minute), Number(second ?? 0))) return undefined;
  const ms = Number((fraction ?? '').slice(0, 3).padEnd(3, '0'));
  const inDay = ((Number(hour) * 60 + Number(minute)) * 60 + Number(second ?? 0)) * 1000 + ms;
  return { firstMs: dayStart + inDay - offsetMs, lengthMs: lengthOf(second, fraction) };
}

function lengthOf(second: string | undefined, fraction: string | undefined): number {
  if (second === undefined) return 60_000;
  return fraction === undefined ? 1000 : 10 ** Math.max(0, 3 - fraction.length);
}

/** Start of a day that the calendar has. */
function dayOf(date: string): number | undefined {
  const ms = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date) ? ms : undefined;
}

function isTime(hour: number, minute: number, second: number): boolean {
  return hour < 24 && minute < 60 && second < 60;
}

function offsetOf(zone: string): number | undefined {
  if (/^(z|utc)?$/i.test(zone)) return 0;
  const match = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  if (!match || !isTime(Number(match[2]), Number(match[3]), 0)) return undefined;
  const ms = (Number(match[2]) * 60 + Number(match[3])) * 60_000;
  return match[1] === '-' ? -ms : ms;
}
