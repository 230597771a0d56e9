/**
 * Calls written as JSON. Where a call ends is found by the structure of the JSON alone: strings may hold anything,
 * markers of the model included.
 */
import { toolNameRule } from '../messages.js';
import { afterSpace, isEnd, isSpace, type Parse, type Reading, rawOf, type Unit } from './reading.js';
import type { Speech } from './speech.js';

export interface CallRules {
  /** Only an object that names one of these is a call. Undefined: any name. */
  readonly names?: ReadonlySet<string> | undefined;
  /** Only an object of nothing but a call's keys is one. */
  readonly strict?: boolean;
}

/** `whole`; `broken`: the unit that does not fit was given back; `cut`: the end was given back. */
export type ValueEnd = 'whole' | 'broken' | 'cut';

/**
 * Takes a JSON value, whose first unit has been taken. Checks no more of it than is needed to find its end.
 * @param write gets the value piece by piece.
 */
export function* jsonValue(reading: Reading, first: Unit, write: (text: string) => void): Parse<ValueEnd> {
  if (first === '"') {
    write('"');
    return yield* restOfString(reading, write);
  }
  if (first === '{' || first === '[') return yield* nested(reading, first, write);
  return yield* scalar(reading, first, write);
}

const deeper = new Map([
  ['{', 1],
  ['[', 1],
  ['}', -1],
  [']', -1],
]);

function* nested(reading: Reading, first: string, write: (text: string) => void): Parse<ValueEnd> {
  write(first);
  let end: ValueEnd = 'whole';
  for (let depth = 1; depth > 0 && end === 'whole'; ) {
    const unit = yield* reading.take();
    if (typeof unit !== 'string') return giveBack(reading, unit);
    write(unit);
    depth += deeper.get(unit) ?? 0;
    if (unit === '"') end = yield* restOfString(reading, write);
  }
  return end;
}

function* restOfString(reading: Reading, write: (text: string) => void): Parse<ValueEnd> {
  for (;;) {
    const unit = yield* reading.take();
    if (isEnd(unit)) return giveBack(reading, unit);
    write(rawOf(unit));
    if (unit === '"') return 'whole';
    if (unit !== '\\') continue;
    const escaped = yield* reading.take();
    if (isEnd(escaped)) return giveBack(reading, escaped);
    write(rawOf(escaped));
  }
}

function* scalar(reading: Reading, first: Unit, write: (text: string) => void): Parse<ValueEnd> {
  let unit = first;
  let length = 0;
  while (typeof unit === 'string' && /[-+.\w]/.test(unit)) {
    write(unit);
    length++;
    unit = yield* reading.take();
  }
  const end = giveBack(reading, unit);
  return end === 'broken' && length > 0 ? 'whole' : end;
}

function giveBack(reading: Reading, unit: Unit): ValueEnd {
  reading.back(unit);
  return isEnd(unit) ? 'cut' : 'broken';
}

/** What is known of a call while its object is read. */
class CallObject {
  readonly #reading: Reading;
  readonly #speech: Speech;
  readonly #rules: CallRules;
  /** The name is known and told. */
  begun = false;
  #argumentsTold = false;
  /** Arguments that came before the name. */
  #early: string | undefined;

  constructor(reading: Reading, speech: Speech, rules: CallRules) {
    this.#reading = reading;
    this.#speech = speech;
    this.#rules = rules;
  }

  /** Takes the value of a key. Returns false when this is no call. */
  *member(key: string, first: Unit): Parse<boolean> {
    if (key === 'name' && !this.begun) return yield* this.#name(first);
    if ((key === 'arguments' || key === 'parameters') && !this.#argumentsTold && this.#early === undefined) {
      return yield* this.#arguments(first);
    }
    if (this.#rules.strict && !this.begun && key !== 'type' && key !== 'id') return false;
    return (yield* jsonValue(this.#reading, first, () => undefined)) === 'whole';
  }

  /** The object is closed, or there is no more of it. */
  end(): void {
    if (this.begun && !this.#argumentsTold) this.#tell('{}');
  }

  *#name(first: Unit): Parse<boolean> {
    let json = '';
    const end = yield* jsonValue(this.#reading, first, (text) => {
      json += text;
    });
    if (end !== 'whole' || first !== '"') return false;
    const name = decodedString(json);
    if (name === undefined || !toolNameRule.test(name)) return false;
    if (this.#rules.names && !this.#rules.names.has(name)) return false;
    this.#speech.interrupt();
    this.#reading.call(name);
    this.begun = true;
    if (this.#early !== undefined) this.#tell(this.#early);
    return true;
  }

  *#arguments(first: Unit): Parse<boolean> {
    let json = '';
    const streams = this.begun && (first === '{' || first === '[');
    if (streams) this.#argumentsTold = true;
    const end = yield* jsonValue(this.#reading, first, (text) => {
      if (streams) this.#reading.arguments(text);
      else json += text;
    });
    if (streams) return end === 'whole';
    if (end !== 'whole') return false;
    const told = plainArguments(json);
    if (this.begun) this.#tell(told);
    else this.#early = told;
    return true;
  }

  #tell(text: string): void {
    this.#argumentsTold = true;
    this.#reading.arguments(text);
  }
}

/**
 * Takes an object that names a function and its arguments; its `{` has been taken. Tells the call as soon as its
 * name is known.
 * @returns `call`, also when the call has no proper end; `cut` when the end came before it was told; `none` when it
 *   is no call. What did not fit, or the end, was given back, `Reading.record` holds the rest.
 */
function* callObject(reading: Reading, speech: Speech, rules: CallRules): Parse<'call' | 'none' | 'cut'> {
  const object = new CallObject(reading, speech, rules);
  let unit = yield* afterSpace(reading);
  while (unit === '"' && (yield* member(reading, object))) {
    unit = yield* afterSpace(reading);
    if (unit === ',') unit = yield* afterSpace(reading);
  }
  return yield* closed(reading, object, unit);
}

/** The same where the first unit may be another one; it is given back then. */
export function* callAfter(
  reading: Reading,
  speech: Speech,
  first: Unit,
  rules: CallRules,
): Parse<'call' | 'none' | 'cut'> {
  if (first === '{') return yield* callObject(reading, speech, rules);
  return giveBack(reading, first) === 'cut' ? 'cut' : 'none';
}

function* closed(reading: Reading, object: CallObject, last: Unit): Parse<'call' | 'none' | 'cut'> {
  // The unit that broke off a member is still to come.
  const unit = last === '"' ? yield* reading.take() : last;
  if (isEnd(unit)) {
    reading.back(unit);
    return object.begun ? 'call' : 'cut';
  }
  object.end();
  if (unit === '}' && object.begun) {
    reading.drop();
    return 'call';
  }
  reading.back(unit);
  return object.begun ? 'call' : 'none';
}

function* member(reading: Reading, object: CallObject): Parse<boolean> {
  let key = '"';
  const end = yield* restOfString(reading, (text) => {
    key += text;
  });
  if (end !== 'whole') return false;
  const colon = yield* afterSpace(reading);
  if (colon !== ':') return giveBack(reading, colon) === 'whole';
  return yield* object.member(decodedString(key) ?? '', yield* afterSpace(reading));
}

function decodedString(json: string): string | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined; // an escape that JSON does not have
  }
}

/** Some models write the arguments' JSON as a string, or null for none. */
function plainArguments(json: string): string {
  if (json === 'null') return '{}';
  const inner = json.startsWith('"') ? decodedString(json) : undefined;
  return inner?.trimStart().startsWith('{') ? inner : json;
}

/**
 * Takes what may stand behind a call, white space first: one of these characters is taken and returned; any other
 * unit is given back and undefined returned.
 */
export function* separator(reading: Reading, allowed: string): Parse<string | undefined> {
  const unit = yield* afterSpace(reading);
  if (typeof unit === 'string' && !isSpace(unit) && allowed.includes(unit)) return unit;
  reading.back(unit);
  return undefined;
}
