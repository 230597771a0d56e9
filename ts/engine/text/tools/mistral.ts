/**
 * `[TOOL_CALLS] [{"name": …, "arguments": {…}}, …]`, and as later Mistral models write it:
 * `[TOOL_CALLS]name[ARGS]{…}`, each call behind a marker of its own.
 */
import { noCall } from './hermes.js';
import { callAfter, jsonValue, separator } from './json-call.js';
import { afterSpace, isEnd, isMarker, type Parse, type Reading, type Unit } from './reading.js';
import { freeText, type Speech, type Tag } from './speech.js';

const nameUnit = /^[A-Za-z0-9_.-]$/;
const argumentsMark = '[ARGS]';
const idMark = '[CALL_ID]';

export function* mistral(reading: Reading, speech: Speech, open: Tag, parallel: boolean): Parse {
  for (;;) {
    const found = yield* freeText(reading, speech, [open]);
    if (isEnd(found)) return;
    reading.startRecord(found.text);
    const first = yield* afterSpace(reading);
    if (first === '[') yield* list(reading, speech, parallel);
    else if (first === '{') yield* entry(reading, speech, first);
    else yield* named(reading, speech, first);
    if (!parallel && reading.calls > 0) return reading.finish();
  }
}

function* list(reading: Reading, speech: Speech, parallel: boolean): Parse {
  let next: string | undefined = ',';
  while (next === ',') {
    if (!(yield* entry(reading, speech, yield* afterSpace(reading))) || !parallel) return;
    reading.startRecord();
    next = yield* separator(reading, ',]');
    if (next === undefined) speech.say(reading.record);
  }
}

function* entry(reading: Reading, speech: Speech, first: Unit): Parse<boolean> {
  if ((yield* callAfter(reading, speech, first, {})) === 'call') return true;
  yield* noCall(reading, speech);
  return false;
}

/** `name[ARGS]{…}`, perhaps with `[CALL_ID]id` before the arguments. */
function* named(reading: Reading, speech: Speech, first: Unit): Parse {
  let unit = first;
  let name = '';
  while (typeof unit === 'string' && nameUnit.test(unit) && name.length < 128) {
    name += unit;
    unit = yield* reading.take();
  }
  if (name !== '' && isMarker(unit, idMark)) unit = yield* behindId(reading);
  if (name === '' || !(unit === '{' || isMarker(unit, argumentsMark))) {
    reading.back(unit);
    return yield* noCall(reading, speech);
  }
  speech.interrupt();
  reading.call(name);
  const value = unit === '{' ? unit : yield* afterSpace(reading);
  yield* jsonValue(reading, value, (text) => reading.arguments(text));
  reading.drop();
}

function* behindId(reading: Reading): Parse<Unit> {
  for (;;) {
    const unit = yield* reading.take();
    if (typeof unit !== 'string' || !nameUnit.test(unit)) return unit;
  }
}
