/** Changes of a text as a unified diff. Pure. */
import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';

// A comparison takes time with the square of it; beyond, all of the old text makes room for all of the new.
const mostEdits = 1000;
const contextLines = 3;

/**
 * @param before, after the text; undefined where there is no such file
 * @returns empty when nothing changes
 */
export function unifiedDiff(path: string, before: string | undefined, after: string | undefined): string {
  if (before === after) return '';
  const [from, to] = [before === undefined ? '/dev/null' : path, after === undefined ? '/dev/null' : path];
  const compared = createTwoFilesPatch(from, to, before ?? '', after ?? '', undefined, undefined, {
    context: contextLines,
    headerOptions: FILE_HEADERS_ONLY,
    maxEditLength: mostEdits,
  });
  return compared ?? `--- ${from}\n+++ ${to}\n${replacement(before ?? '', after ?? '')}`;
}

/** One hunk: out with the old, in with the new. */
function replacement(before: string, after: string): string {
  const [old, now] = [hunkSide(before, '-'), hunkSide(after, '+')];
  return `@@ -${rangeOf(before)} +${rangeOf(after)} @@\n${old}${now}`;
}

function rangeOf(text: string): string {
  return text === '' ? '0,0' : `1,${countLines(text)}`;
}

function hunkSide(text: string, sign: '-' | '+'): string {
  if (text === '') return '';
  const ended = text.endsWith('\n');
  const lines = (ended ? text.slice(0, -1) : text).split('\n');
  const missing = ended ? '' : '\\ No newline at end of file\n';
  return `${lines.map((line) => `${sign}${line}\n`).join('')}${missing}`;
}

/** Lines as people count them: the end of the last one begins no other. */
export function countLines(text: string): number {
  if (text === '') return 0;
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
