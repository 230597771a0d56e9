/** What a message is compared with. */
import { RE2JS, RE2JSException, RE2JSSyntaxException } from 're2js';
import { StompError } from '../errors.js';
import { fold } from './query-fold.js';

export type Pattern = TextPattern | RegexPattern;

export interface TextPattern {
  readonly mode: 'substring' | 'exact';
  readonly text: string;
  readonly folded: string;
  readonly caseSensitive: boolean;
}

export interface RegexPattern {
  readonly mode: 'regex';
  readonly text: string;
  readonly caseSensitive: boolean;
  /** Takes time linear in the length of the message. */
  matches(message: string): boolean;
}

const mostRegexLength = 1000;
// An instruction costs each character of each message some time.
const mostInstructions = 10_000;

/** @throws StompError INVALID_REQUEST for what is no regular expression; its fields say why and, if known, where. */
export function patternOf(text: string, mode: Pattern['mode'], caseSensitive: boolean): Pattern | undefined {
  if (mode === 'regex') return regexOf(text, caseSensitive);
  if (mode === 'substring' && text === '') return undefined; // is in all of them
  return { mode, text, folded: fold(text), caseSensitive };
}

function regexOf(text: string, caseSensitive: boolean): RegexPattern {
  if (text.length > mostRegexLength)
    throw refusal(text, `it is longer than ${mostRegexLength} characters`, null);
  const compiled = compile(text, caseSensitive ? 0 : RE2JS.CASE_INSENSITIVE);
  if (compiled.programSize() > mostInstructions)
    throw refusal(text, 'its repetitions make it too large', null);
  return { mode: 'regex', text, caseSensitive, matches: (message) => compiled.test(message) };
}

function compile(text: string, flags: number): RE2JS {
  try {
    return RE2JS.compile(text, flags);
  } catch (error) {
    if (error instanceof RE2JSException) throw invalid(text, error);
    throw error;
  }
}

function invalid(text: string, error: RE2JSException): StompError {
  if (!(error instanceof RE2JSSyntaxException)) return refusal(text, error.message, null, null, error);
  const at = error.input === null ? -1 : text.indexOf(error.input);
  return refusal(text, error.error, at < 0 ? null : at, error.input, error);
}

function refusal(
  text: string,
  reason: string,
  position: number | null,
  part: string | null = null,
  cause?: unknown,
): StompError {
  const where =
    position === null ? '' : ` at character ${position + 1}, ${JSON.stringify(part?.slice(0, 40))}`;
  return new StompError(
    'INVALID_REQUEST',
    `message is no regular expression: ${reason}${where}. Write it in the syntax of RE2, or use mode 'substring'.`,
    {
      fields: {
        field: 'message',
        value: text.slice(0, 80),
        allowed: 'a regular expression in the syntax of RE2',
        reason,
        position,
      },
      cause,
    },
  );
}
