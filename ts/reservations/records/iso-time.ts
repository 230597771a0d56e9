/** Times as Python's `datetime.isoformat` writes them and `fromisoformat` reads them. Pure. */

const written =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(Z|([+-])(\d\d):?(\d\d)(?::?(\d\d))?)?$/;

/**
 * `2026-03-18T12:00:00+00:00`, with six digits of a second when it is not whole: older Pythons read neither `Z` nor other
 * numbers of digits.
 */
export function isoTime(time: Date): string {
  const text = time.toISOString();
  const ms = text.slice(20, 23);
  return `${text.slice(0, 19)}${ms === '000' ? '' : `.${ms}000`}+00:00`;
}

/** @returns the time, to the millisecond, or why it is none: words that follow its name */
export function timeOf(text: string): Date | string {
  const parts = written.exec(text);
  if (!parts) return /^\d{4}-\d\d-\d\d$/.test(text) ? 'has no time of day' : 'is no ISO date-time';
  if (parts[8] === undefined) return 'has no offset from UTC';
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second, Number((parts[7] ?? '').slice(0, 3).padEnd(3, '0')));
  // There is no 30th of February, no 25th hour and no 61st second.
  const same = date.toISOString().slice(0, 16) === text.slice(0, 16).replace(' ', 'T');
  const offset = offsetSeconds(parts);
  if (!same || year === 0 || second > 59 || offset === undefined) return 'is a time that there is not';
  return inRange(new Date(date.getTime() - offset * 1000));
}

function offsetSeconds(parts: RegExpExecArray): number | undefined {
  const [hours = 0, minutes = 0, seconds = 0] = parts.slice(10, 13).map((part) => Number(part ?? 0));
  if (hours > 23 || minutes > 59 || seconds > 59) return undefined;
  return (parts[9] === '-' ? -1 : 1) * (3600 * hours + 60 * minutes + seconds);
}

const earliest = new Date(0).setUTCFullYear(1, 0, 1);
const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** Others cannot be written again. */
function inRange(time: Date): Date | string {
  return time.getTime() >= earliest && time.getTime() <= latest
    ? time
    : 'is not between the years 1 and 9999';
}
