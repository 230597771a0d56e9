/** Differences as lines with a sign: of two payloads, or read from a unified diff. Pure. */
import { diffLines } from 'diff';
import { editableOf, type Payload } from './draft.js';

/** `~`: about the diff itself, such as where a part of it begins. */
export type Sign = '+' | '-' | ' ' | '~';

export interface DiffLine {
  readonly sign: Sign;
  readonly text: string;
}

export interface FieldDiff {
  readonly key: string;
  readonly label: string;
  readonly lines: readonly DiffLine[];
}

const contextLines = 3;
/** A comparison takes time with the square of it; beyond, all of the old makes room for all of the new. */
const mostEdits = 1000;

const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/;

/** Lines of a hunk that are still to come, of the old text and of the new one. */
interface Rest {
  readonly old: number;
  readonly now: number;
}

/** Of one file or of several. A hunk says how many lines it has: what looks like a header within is none. */
export function unifiedLines(diff: string): DiffLine[] {
  let rest: Rest = { old: 0, now: 0 };
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const sign = rest.old > 0 || rest.now > 0 ? signOf(line) : '~';
      rest = sign === '~' ? (begunBy(line) ?? rest) : less(rest, sign);
      return sign === '~' ? { sign, text: line } : { sign, text: line.slice(1) };
    });
}

function begunBy(line: string): Rest | undefined {
  const begun = hunk.exec(line);
  return begun ? { old: Number(begun[1] ?? 1), now: Number(begun[2] ?? 1) } : undefined;
}

function less({ old, now }: Rest, sign: Sign): Rest {
  return { old: sign === '+' ? old : old - 1, now: sign === '-' ? now : now - 1 };
}

function signOf(line: string): Sign {
  if (line === '') return ' ';
  return line.startsWith('+') || line.startsWith('-') || line.startsWith(' ') ? (line[0] as Sign) : '~';
}

/** Field by field; a field that is only in one of them is there in whole. */
export function payloadDiff(before: Payload, after: Payload): FieldDiff[] {
  const old = new Map(editableOf(before).map((field) => [field.key, field]));
  const now = new Map(editableOf(after).map((field) => [field.key, field]));
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys.flatMap((key) => {
    const [from, to] = [old.get(key), now.get(key)];
    if (from?.shown === to?.shown) return [];
    const path = (to ?? from)?.path ?? [];
    return [{ key, label: path.join(' › ').replaceAll('_', ' '), lines: textDiff(from?.shown, to?.shown) }];
  });
}

export function textDiff(before: string | undefined, after: string | undefined): DiffLine[] {
  const options = { maxEditLength: mostEdits };
  const parts = diffLines(ended(before), ended(after), options) ?? [
    { value: ended(before), removed: true, added: false },
    { value: ended(after), removed: false, added: true },
  ];
  const lines = parts.flatMap(({ value, added, removed }) =>
    linesOf(value).map((text): DiffLine => ({ sign: added ? '+' : removed ? '-' : ' ', text })),
  );
  // The line break at the end is all that is left: no line differs without it.
  if (before !== after && lines.every(({ sign }) => sign === ' '))
    return [{ sign: '~', text: 'only the line break at the end' }];
  return withoutFarContext(lines);
}

/** The last line is compared as the others are, whether a line break ends it or not. */
function ended(text: string | undefined): string {
  return text === undefined || text === '' || text.endsWith('\n') ? (text ?? '') : `${text}\n`;
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function withoutFarContext(lines: readonly DiffLine[]): DiffLine[] {
  const near = lines.map((_, at) =>
    lines.slice(Math.max(0, at - contextLines), at + contextLines + 1).some(({ sign }) => sign !== ' '),
  );
  return lines.flatMap((line, at): DiffLine[] => {
    if (near[at]) return [line];
    const isFirst = at === 0 || near[at - 1] === true;
    return isFirst ? [{ sign: '~', text: `… ${gapLength(near, at)} lines as they were` }] : [];
  });
}

function gapLength(near: readonly boolean[], from: number): number {
  const end = near.indexOf(true, from);
  return (end < 0 ? near.length : end) - from;
}
