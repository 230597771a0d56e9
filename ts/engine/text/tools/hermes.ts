/** `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes and Qwen models write calls. */
import { callAfter } from './json-call.js';
import { afterSpace, isEnd, type Parse, type Reading, rawOf, type Unit } from './reading.js';
import { freeText, matchTag, type Speech, type Tag } from './speech.js';

/** What may stand before the closing tag. */
const surplus = /^[\s}\]]$/;

export interface HermesTags {
  readonly open: Tag;
  readonly close: Tag;
}

export function* hermes(reading: Reading, speech: Speech, tags: HermesTags, parallel: boolean): Parse {
  for (;;) {
    const found = yield* freeText(reading, speech, [tags.open]);
    if (isEnd(found)) return;
    yield* block(reading, speech, tags, parallel);
    if (!parallel && reading.calls > 0) return reading.finish();
  }
}

/** What stands between the tags: one call as a rule. */
function* block(reading: Reading, speech: Speech, tags: HermesTags, parallel: boolean): Parse {
  reading.startRecord(tags.open.text);
  do {
    const first = yield* afterSpace(reading);
    if ((yield* callAfter(reading, speech, first, {})) !== 'call') return yield* noCall(reading, speech);
  } while ((yield* another(reading, speech, tags.close)) && parallel);
}

/**
 * What was taken since the record began is no call, and text as it was written; unless it was cut off, when it may
 * have become one.
 */
export function* noCall(reading: Reading, speech: Speech): Parse {
  const { record } = reading;
  const unit = yield* reading.take();
  reading.back(unit);
  if (isEnd(unit) && unit.end === 'cut') reading.drop();
  else speech.say(record);
}

/**
 * Takes the closing tag, and what weak models write before it: a brace too many. Returns whether another call
 * follows within the tags.
 */
function* another(reading: Reading, speech: Speech, close: Tag): Parse<boolean> {
  let held = '';
  let partial = '';
  for (;;) {
    const unit = yield* reading.take();
    const state = matchTag(close, partial, unit);
    if (state === 'whole') {
      reading.drop();
      return false;
    }
    if (state === 'part') partial += rawOf(unit);
    else if (partial === '' && surplus.test(rawOf(unit))) held += rawOf(unit);
    else return unclosed(reading, speech, unit, { held, partial });
  }
}

/** Another thing stands where the closing tag belongs. */
function unclosed(
  reading: Reading,
  speech: Speech,
  unit: Unit,
  taken: { held: string; partial: string },
): boolean {
  const { held, partial } = taken;
  reading.back(unit);
  if (!isEnd(unit)) for (const char of Array.from(partial).reverse()) reading.back(char);
  if (isEnd(unit) || held.trim() === '') reading.drop();
  else speech.say(held);
  reading.startRecord();
  return unit === '{' && partial === '';
}
