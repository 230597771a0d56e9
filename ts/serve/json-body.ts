/** Parses request bodies. Pure. */
import { StompError } from '../errors.js';

/** Deeper nesting than any request has reason to use. */
const MAX_DEPTH = 64;

/**
 * @returns the value; undefined for an empty body.
 * @throws StompError INVALID_REQUEST when the text is not JSON or is nested too deeply.
 */
export function parseJsonBody(text: string): unknown {
  if (text === '') return undefined;
  checkDepth(text);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StompError('INVALID_REQUEST', `The body is not valid JSON${position(cause)}.`, {
      cause,
      fields: { field: 'body', allowed: 'JSON' },
    });
  }
}

/**
 * Counts brackets outside of strings before anything is built from them: four million nested ones would
 * keep the parser busy for a second.
 */
function checkDepth(text: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) i = endOfString(text, i);
    else depth += nesting(c);
    if (depth > MAX_DEPTH) throw tooDeep();
  }
}

function nesting(c: number): number {
  if (c === OPEN_BRACE || c === OPEN_BRACKET) return 1;
  return c === CLOSE_BRACE || c === CLOSE_BRACKET ? -1 : 0;
}

/** Index of the quote that closes the string opened at `start`, or the last index if none does. */
function endOfString(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1);
  while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
  return quote === -1 ? text.length : quote;
}

function isEscaped(text: string, index: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(index - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

function tooDeep(): StompError {
  return new StompError('INVALID_REQUEST', `The body is nested more than ${MAX_DEPTH} levels deep.`, {
    fields: { field: 'body', allowed: `at most ${MAX_DEPTH} levels` },
  });
}

/** The parser's own message quotes the text around the error, which may be a prompt. */
function position(cause: unknown): string {
  const found = cause instanceof Error ? /position (\d+)/.exec(cause.message)?.[1] : undefined;
  return found === undefined ? '' : ` (at character ${found})`;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
