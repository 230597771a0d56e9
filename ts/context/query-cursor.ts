/** Where entries stand in the order of queries, and cursors that remember it. */
import { createHash } from 'node:crypto';
import { checkText, refuse } from '../arguments.js';

/** Which entry: by this they are sorted. */
export interface Position {
  readonly ts: number;
  readonly line: number;
  readonly project: string;
}

export interface Cursor {
  /** The entry before the page. */
  readonly after: Position;
  /** Number of the page that it begins. */
  readonly page: number;
}

/** In ascending order; names by their bytes, as the databases can do as well. */
export function compare(a: Position, b: Position): number {
  return a.ts - b.ts || a.line - b.line || compareNames(a.project, b.project);
}

export function compareNames(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The same for the same query only. */
export function fingerprint(query: unknown): string {
  return createHash('sha256').update(JSON.stringify(query)).digest('base64url').slice(0, 22);
}

export function writeCursor(mark: string, { after, page }: Cursor): string {
  return Buffer.from(JSON.stringify([mark, page, after.ts, after.line, after.project])).toString('base64url');
}

/** @throws StompError INVALID_REQUEST unless it is a cursor of this query. */
export function readCursor(value: unknown, mark: string): Cursor {
  const text = checkText('cursor', value ?? null, '', 10_000);
  const parts = partsOf(text);
  if (!parts) return refuse('cursor', value, 'next_cursor of an earlier page');
  const [of, page, ts, line, project] = parts;
  if (of !== mark) refuse('cursor', value, 'next_cursor of a page of the same query');
  return { after: { ts, line, project }, page };
}

type Parts = [of: string, page: number, ts: number, line: number, project: string];

function partsOf(text: string): Parts | undefined {
  const kinds = 'string,number,number,number,string';
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (!Array.isArray(parts) || parts.map((part) => typeof part).join() !== kinds) return undefined;
    const whole = parts.slice(1, 4).every((part) => Number.isSafeInteger(part)) && parts[1] > 1;
    return whole ? (parts as Parts) : undefined;
  } catch {
    return undefined; // no JSON
  }
}
