/**
 * The format of GPT-OSS: messages of the form `<|start|>role<|channel|>channel to=recipient<|message|>…<|end|>`,
 * of which the prompt holds the first `<|start|>assistant`. Thoughts are in the channel `analysis`, calls go to
 * `functions.name`, all else is said.
 */
import { jsonValue } from './json-call.js';
import {
  afterSpace,
  type End,
  isEnd,
  isMarker,
  type Parse,
  type Reading,
  rawOf,
  type Unit,
} from './reading.js';
import type { Speech } from './speech.js';

const bodyMark = '<|message|>';
const startMark = '<|start|>';
/** Longer ones are no headers. */
const maxHeaderChars = 1024;
const endMarks: readonly string[] = ['<|end|>', '<|call|>', '<|return|>', startMark];

export interface HarmonyRules {
  /** False: calls are said as they are written. */
  readonly calls: boolean;
  readonly parallel: boolean;
}

/** Where a message belongs. */
interface Header {
  readonly channel: string;
  /** Of `functions`. */
  readonly name: string | undefined;
}

export function* harmony(reading: Reading, speech: Speech, rules: HarmonyRules): Parse {
  let header = yield* readHeader(reading, speech, true);
  while (!isEnd(header)) {
    const end = yield* message(reading, speech, header, rules);
    reading.drop();
    if (!rules.parallel && reading.calls > 0) return reading.finish();
    header = isEnd(end) ? end : yield* readHeader(reading, speech, false);
  }
  speech.end();
}

function* message(reading: Reading, speech: Speech, header: Header, rules: HarmonyRules): Parse<Unit> {
  const { channel, name } = header;
  if (name !== undefined && rules.calls) return yield* callBody(reading, speech, name);
  if (channel !== 'analysis') return yield* body(reading, (text) => speech.say(text));
  speech.interrupt();
  return yield* body(reading, (text) => reading.reasoning(text));
}

/** The beginning of a header, where the prompt ends within it. */
const headerBegins = /^\s*(t(o(=.*)?)?|<\|.*)?$/s;

/** Up to the body. Text that is no header is said: a model may forget to write one. */
function* readHeader(reading: Reading, speech: Speech, first: boolean): Parse<Header | End> {
  let header = '';
  let unit = yield* reading.take();
  while (!isEnd(unit) && !isMarker(unit, bodyMark)) {
    header += rawOf(unit);
    if ((first && !headerBegins.test(header)) || header.length > maxHeaderChars) {
      speech.say(header);
      return { channel: 'final', name: undefined };
    }
    unit = yield* reading.take();
  }
  if (!isEnd(unit)) return headerOf(header);
  if (first && unit.end === 'stop' && !header.includes('<|')) speech.say(header);
  return unit;
}

function headerOf(text: string): Header {
  const channel = /<\|channel\|>\s*(\w+)/.exec(text)?.[1] ?? 'final';
  const name = /\bto=functions\.([A-Za-z0-9_.-]{1,128})/.exec(text)?.[1];
  return { channel, name };
}

function* body(reading: Reading, write: (text: string) => void): Parse<Unit> {
  for (;;) {
    const unit = yield* reading.take();
    if (ends(unit)) return unit;
    if (typeof unit === 'string') write(unit);
  }
}

function ends(unit: Unit): boolean {
  return isEnd(unit) || endMarks.some((mark) => isMarker(unit, mark));
}

/** Arguments end with their JSON: a string in them may hold the name of a marker. */
function* callBody(reading: Reading, speech: Speech, name: string): Parse<Unit> {
  speech.interrupt();
  reading.call(name);
  const first = yield* afterSpace(reading);
  if (ends(first)) {
    if (!isEnd(first) || first.end === 'stop') reading.arguments('{}');
    return first;
  }
  yield* jsonValue(reading, first, (text) => reading.arguments(text));
  return yield* body(reading, () => undefined);
}
