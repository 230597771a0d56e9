/**
 * `{"name": …, "parameters": {…}}` without a marker, as Llama and Gemma models write calls: Llama at times behind
 * `<|python_tag|>`, Gemma in a fenced block. Only an object that names a known function is a call; it begins a line.
 */
import { noCall } from './hermes.js';
import { callAfter, separator } from './json-call.js';
import { afterSpace, isEnd, type Parse, type Reading, type Unit } from './reading.js';
import { freeText, type Speech, type Tag } from './speech.js';

export interface BareJsonRules {
  /** What may stand before the first call. */
  readonly openers: readonly Tag[];
  /** Ends a fenced block; undefined where there are none. */
  readonly fence?: string;
  readonly names: ReadonlySet<string>;
  readonly parallel: boolean;
}

export function* bareJson(reading: Reading, speech: Speech, rules: BareJsonRules): Parse {
  let found = yield* freeText(reading, speech, rules.openers, { lineStart: '{' });
  while (!isEnd(found)) {
    const before = reading.calls;
    reading.startRecord(found.text);
    yield* calls(reading, speech, rules, yield* firstOf(reading, found));
    if (!rules.parallel && reading.calls > 0) return reading.finish();
    if (reading.calls > before && rules.fence !== undefined) yield* closeFence(reading, speech, rules.fence);
    found = yield* freeText(reading, speech, rules.openers, { lineStart: '{' });
  }
}

function* firstOf(reading: Reading, { text }: Tag): Parse<Unit> {
  if (text === '{') return text;
  const unit = yield* afterSpace(reading);
  return unit === '[' ? yield* afterSpace(reading) : unit;
}

/** One call, or several with a comma, a semicolon or white space between. */
function* calls(reading: Reading, speech: Speech, rules: BareJsonRules, first: Unit): Parse {
  const object = { names: rules.names, strict: true };
  let unit: Unit | undefined = first;
  while (unit !== undefined) {
    if ((yield* callAfter(reading, speech, unit, object)) !== 'call') return yield* noCall(reading, speech);
    if (!rules.parallel) return;
    unit = yield* next(reading, speech);
  }
}

/** What begins the next call, if there may be one. */
function* next(reading: Reading, speech: Speech): Parse<Unit | undefined> {
  reading.startRecord();
  const between = yield* separator(reading, ',;]{');
  if (between === undefined) speech.say(reading.record);
  if (between === undefined || between === ']') return undefined;
  return between === '{' ? between : yield* afterSpace(reading);
}

function* closeFence(reading: Reading, speech: Speech, fence: string): Parse {
  reading.startRecord();
  let unit = yield* afterSpace(reading);
  let matched = '';
  while (typeof unit === 'string' && fence.startsWith(matched + unit)) {
    matched += unit;
    if (matched === fence) return reading.drop();
    unit = yield* reading.take();
  }
  reading.back(unit);
  if (isEnd(unit)) reading.drop();
  else speech.say(reading.record);
}
