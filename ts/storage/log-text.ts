/**
 * The text of a log: one line for each thing, whatever is in it, and a hash of each line that covers all lines before.
 * A line ends in fields, `key=value; key=value`. Pure.
 */
import { createHash } from 'node:crypto';
import { StompError } from '../errors.js';

/** A field of a line, both still as they are. */
export type Field = readonly [key: string, value: string];

/** SHA-256 in lower-case hex, of the hash of the line before (empty before the first) and this line without its end. */
export function chainedHash(before: string, line: string): string {
  return createHash('sha256').update(before).update(line, 'utf8').digest('hex');
}

// Whatever some program takes for the end of a line or does not show is written as an escape.
const unfit = '\\\\\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029';
const shortEscapes: Readonly<Record<string, string>> = { '\n': 'n', '\r': 'r', '\t': 't' };
const shortNames: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** Escapes what would break the line, and the characters of `marks`, which mean something where the text will stand. */
export type Escaper = (text: string) => string;

/** @param marks none of `\`, `n`, `r`, `t`, `u` and hyphens */
export function escaper(marks: string): Escaper {
  const wanted = new RegExp(`[${unfit}${marks.replaceAll(']', '\\]')}]`, 'g');
  const escaped = (character: string) => {
    if (character === '\\' || marks.includes(character)) return `\\${character}`;
    const short = shortEscapes[character];
    return short ? `\\${short}` : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  };
  return (text) => text.replace(wanted, escaped);
}

/** What an escaper was given. */
export function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|(.))/gsu, (_, code: string | undefined, character: string) =>
    code === undefined
      ? (shortNames[character] ?? character)
      : String.fromCharCode(Number.parseInt(code, 16)),
  );
}

/** Where `mark` stands next without a backslash before it; -1 for nowhere. */
export function indexOfMark(text: string, mark: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === mark) return at;
  }
  return -1;
}

const escapedKey = escaper('=;');
const escapedValue = escaper(';');

/** @param own keys of the log itself begin with `@`; those of others that do so are escaped. */
export function fieldsText(fields: readonly Field[], own: readonly Field[] = []): string {
  const texts = [
    ...fields.map(
      ([key, value]) => `${key.startsWith('@') ? '\\' : ''}${escapedKey(key)}=${escapedValue(value)}`,
    ),
    ...own.map(([key, value]) => `@${escapedKey(key)}=${escapedValue(value)}`),
  ];
  return texts.join('; ');
}

/**
 * What `fieldsText` was given.
 * @throws StompError LOG_CORRUPT
 */
export function fieldsOf(text: string): { fields: Field[]; own: Map<string, string> } {
  const fields: Field[] = [];
  const own = new Map<string, string>();
  for (let at = 0; at < text.length; ) {
    const mark = indexOfMark(text, ';', at);
    const end = mark < 0 ? text.length : mark;
    const equals = indexOfMark(text, '=', at);
    if (equals < 0 || equals > end) throw corruptLine('a field has no "="', text);
    const key = text.slice(at, equals);
    const value = unescaped(text.slice(equals + 1, end));
    if (key.startsWith('@')) own.set(unescaped(key.slice(1)), value);
    else fields.push([unescaped(key), value]);
    at = end + '; '.length;
  }
  return { fields, own };
}

export function corruptLine(why: string, text: string): StompError {
  const shown = text.length > 200 ? `${text.slice(0, 197)}...` : text;
  return new StompError('LOG_CORRUPT', `This is no line of the log, ${why}: ${JSON.stringify(shown)}.`, {
    fields: { line: shown },
  });
}
