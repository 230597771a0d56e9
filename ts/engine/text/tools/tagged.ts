/**
 * Calls whose arguments stand in tags of their own, without types, as Qwen3-Coder and GLM write them:
 * `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>` and
 * `<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`.
 * A value ends where its closing tag is followed by what can follow there: text that holds the tag alone stays whole.
 */
import { toolNameRule } from '../messages.js';
import type { JsonType } from './argument-values.js';
import { ahead, inText, isCut, takeTag } from './following.js';
import { noCall } from './hermes.js';
import { afterSpace, isEnd, type Parse, type Reading } from './reading.js';
import { freeText, type Speech, type Tag, TagFinder } from './speech.js';
import { ValuePen } from './value-pen.js';

export interface TagStyle {
  readonly open: Tag;
  readonly close: Tag;
  /** Stand around the name; without `before` it ends with white space or a tag. */
  readonly name: { readonly before: Tag; readonly after: string } | undefined;
  /** Ends the arguments; undefined where `close` does. */
  readonly end: Tag | undefined;
  readonly key: { readonly before: Tag; readonly after: Tag };
  /** Undefined: the value begins behind its key. */
  readonly valueOpen: Tag | undefined;
  readonly valueClose: Tag;
  /** Values stand on lines of their own. */
  readonly lines: boolean;
}

export interface TaggedRules {
  readonly parallel: boolean;
  readonly names: ReadonlySet<string>;
  /** Types of an argument; undefined where nothing is said of it. */
  readonly types: (tool: string, argument: string) => ReadonlySet<JsonType> | undefined;
}

type MakeTag = (text: string) => Tag;

export function qwenCoderStyle(tag: MakeTag): TagStyle {
  return {
    open: tag('<tool_call>'),
    close: tag('</tool_call>'),
    name: { before: tag('<function='), after: '>' },
    end: tag('</function>'),
    key: { before: tag('<parameter='), after: tag('>') },
    valueOpen: undefined,
    valueClose: tag('</parameter>'),
    lines: true,
  };
}

export function glmStyle(tag: MakeTag): TagStyle {
  return {
    open: tag('<tool_call>'),
    close: tag('</tool_call>'),
    name: undefined,
    end: undefined,
    key: { before: tag('<arg_key>'), after: tag('</arg_key>') },
    valueOpen: tag('<arg_value>'),
    valueClose: tag('</arg_value>'),
    lines: false,
  };
}

/** Longer ones are no names. */
const maxNameChars = 256;
const nameUnit = /^[A-Za-z0-9_.-]$/;

export function* tagged(reading: Reading, speech: Speech, style: TagStyle, rules: TaggedRules): Parse {
  // Some forget the tag around a call.
  const openers = style.name ? [style.open, style.name.before] : [style.open];
  for (;;) {
    const found = yield* freeText(reading, speech, openers);
    if (isEnd(found)) return;
    reading.startRecord(found.text);
    yield* new TaggedCalls(reading, speech, style, rules).read(found !== style.open);
    if (!rules.parallel && reading.calls > 0) return reading.finish();
  }
}

class TaggedCalls {
  readonly #reading: Reading;
  readonly #speech: Speech;
  readonly #style: TagStyle;
  readonly #rules: TaggedRules;

  constructor(reading: Reading, speech: Speech, style: TagStyle, rules: TaggedRules) {
    this.#reading = reading;
    this.#speech = speech;
    this.#style = style;
    this.#rules = rules;
  }

  /** What stands between the tags. @param bare they are missing, and the name follows. */
  *read(bare: boolean): Parse {
    const { name, close } = this.#style;
    let again: Tag | undefined = bare ? name?.before : undefined;
    do {
      if (name && !again && !(yield* takeTag(this.#reading, [name.before])))
        return yield* noCall(this.#reading, this.#speech);
      if (!(yield* this.#call(bare))) return;
      again = name ? yield* takeTag(this.#reading, [close, name.before]) : undefined;
    } while (again !== undefined && again === name?.before && this.#rules.parallel);
    this.#reading.drop();
  }

  /** Returns false where no other call can follow. */
  *#call(known: boolean): Parse<boolean> {
    const name = yield* this.#name();
    if (!toolNameRule.test(name) || (known && !this.#rules.names.has(name))) {
      yield* noCall(this.#reading, this.#speech);
      return false;
    }
    this.#speech.interrupt();
    this.#reading.call(name);
    return yield* this.#arguments(name);
  }

  /** Empty where none stands there. */
  *#name(): Parse<string> {
    const after = this.#style.name?.after;
    let name = '';
    let unit = yield* after === undefined ? afterSpace(this.#reading) : this.#reading.take();
    while (typeof unit === 'string' && nameUnit.test(unit) && name.length < maxNameChars) {
      name += unit;
      unit = yield* this.#reading.take();
    }
    if (after !== undefined && unit === after) return name;
    this.#reading.back(unit);
    return after === undefined && (yield* this.#atTag()) ? name : '';
  }

  *#atTag(): Parse<boolean> {
    const { key, close } = this.#style;
    return (yield* ahead(this.#reading, [key.before, close])) === 'yes';
  }

  *#arguments(tool: string): Parse<boolean> {
    const { key, end, close } = this.#style;
    const tags = [key.before, ...(end ? [end] : []), close];
    let before = '{';
    let found = yield* takeTag(this.#reading, tags);
    while (found === key.before) {
      if (!(yield* this.#argument(tool, before))) return false;
      before = ', ';
      found = yield* takeTag(this.#reading, tags);
    }
    if (found === undefined && (yield* isCut(this.#reading))) return false;
    this.#reading.arguments(before === '{' ? '{}' : '}');
    this.#reading.startRecord();
    return found === end;
  }

  /** Returns false where it has no end. */
  *#argument(tool: string, before: string): Parse<boolean> {
    const { key, valueOpen } = this.#style;
    const name = yield* this.#key(key.after);
    if (name === undefined) return false;
    if (valueOpen && !(yield* takeTag(this.#reading, [valueOpen]))) return false;
    this.#reading.arguments(`${before}${JSON.stringify(name)}: `);
    return yield* this.#value(this.#rules.types(tool, name));
  }

  *#key(after: Tag): Parse<string | undefined> {
    const finder = new TagFinder([after]);
    let name = '';
    while (name.length < maxNameChars) {
      const unit = yield* this.#reading.take();
      if (isEnd(unit)) {
        this.#reading.back(unit);
        return undefined;
      }
      const { plain, tag } = inText(finder, unit);
      name += plain;
      if (tag) return name.trim();
    }
    return undefined;
  }

  *#value(types: ReadonlySet<JsonType> | undefined): Parse<boolean> {
    const pen = new ValuePen(this.#reading, types, this.#style.lines);
    const { valueClose } = this.#style;
    const finder = new TagFinder([valueClose]);
    for (;;) {
      const unit = yield* this.#reading.take();
      if (isEnd(unit)) {
        this.#reading.back(unit);
        return false;
      }
      const { plain, tag } = inText(finder, unit);
      pen.write(plain);
      if (!tag) continue;
      // It belongs to the call: to look ahead would cost as much as all that is remembered, for every such tag.
      this.#reading.startRecord();
      const ends = yield* this.#valueEnds();
      if (ends === 'yes') pen.end();
      if (ends !== 'no') return ends === 'yes';
      pen.write(valueClose.text);
    }
  }

  /** Behind the closing tag stands what can follow a value. */
  *#valueEnds(): Parse<'yes' | 'no' | 'cut'> {
    const { key, end, close } = this.#style;
    return yield* ahead(this.#reading, [key.before, ...(end ? [end] : []), close]);
  }
}
