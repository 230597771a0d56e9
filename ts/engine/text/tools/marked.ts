/**
 * Calls whose parts stand between tokens of the vocabulary, the arguments as JSON, as DeepSeek and Kimi write them:
 * `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`, the same
 * with `function<｜tool▁sep｜>name` and fenced JSON, and
 * `<|tool_calls_section_begin|><|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>…`.
 */
import { toolNameRule } from '../messages.js';
import { takeTag } from './following.js';
import { noCall } from './hermes.js';
import { jsonValue } from './json-call.js';
import { afterSpace, isEnd, isSpace, type Parse, type Reading, type Unit } from './reading.js';
import { freeText, type Speech, type Tag, TagFinder } from './speech.js';

export interface MarkStyle {
  /** Around all calls of an answer. */
  readonly section: { readonly begin: Tag; readonly end: Tag };
  readonly begin: Tag;
  /** Between head and arguments. */
  readonly separator: Tag;
  readonly end: Tag;
}

export const deepseekMarks = {
  section: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'],
  begin: '<｜tool▁call▁begin｜>',
  separator: '<｜tool▁sep｜>',
  end: '<｜tool▁call▁end｜>',
} as const;

export const kimiMarks = {
  section: ['<|tool_calls_section_begin|>', '<|tool_calls_section_end|>'],
  begin: '<|tool_call_begin|>',
  separator: '<|tool_call_argument_begin|>',
  end: '<|tool_call_end|>',
} as const;

export type Marks = typeof deepseekMarks | typeof kimiMarks;

export function markStyle(marks: Marks, tag: (text: string) => Tag): MarkStyle {
  const [begin, end] = marks.section;
  return {
    section: { begin: tag(begin), end: tag(end) },
    begin: tag(marks.begin),
    separator: tag(marks.separator),
    end: tag(marks.end),
  };
}

/** Longer ones are no heads. */
const maxHeadChars = 256;
const fence = '`';

export function* marked(reading: Reading, speech: Speech, style: MarkStyle, parallel: boolean): Parse {
  for (;;) {
    const found = yield* freeText(reading, speech, [style.section.begin, style.begin]);
    if (isEnd(found)) return;
    reading.startRecord(found.text);
    yield* calls(reading, speech, style, found === style.begin, parallel);
    if (!parallel && reading.calls > 0) return reading.finish();
  }
}

/** The calls of a section. @param begun the first one's marker has been taken. */
function* calls(
  reading: Reading,
  speech: Speech,
  style: MarkStyle,
  begun: boolean,
  parallel: boolean,
): Parse {
  const before = reading.calls;
  let more = begun || (yield* takeTag(reading, [style.begin])) !== undefined;
  if (!more) return yield* noCall(reading, speech);
  while (more) {
    if (!(yield* call(reading, style))) return yield* noCall(reading, speech);
    speech.interrupt();
    more = parallel && (yield* takeTag(reading, [style.begin])) !== undefined;
    if (!more && (yield* takeTag(reading, [style.section.end]))) reading.drop();
  }
  if (reading.calls > before) reading.startRecord();
}

/** Returns false where it is none. */
function* call(reading: Reading, style: MarkStyle): Parse<boolean> {
  const head = yield* headOf(reading, style.separator);
  if (head === undefined) return false;
  const first = yield* afterSpace(reading);
  const name = first === '{' ? nameOf(head) : yield* nameInLine(reading, first, head);
  if (!toolNameRule.test(name)) return false;
  reading.call(name);
  yield* args(reading, first === '{' ? first : yield* behindFence(reading), style.end);
  return true;
}

function* headOf(reading: Reading, separator: Tag): Parse<string | undefined> {
  const finder = new TagFinder([separator]);
  let head = '';
  while (head.length < maxHeadChars) {
    const unit = yield* reading.take();
    if (typeof unit !== 'string') {
      if (!isEnd(unit) && finder.marked(unit)) return head;
      reading.back(unit);
      return undefined;
    }
    const { plain, tag } = finder.next(unit);
    head += plain;
    if (tag) return head;
  }
  return undefined;
}

/** `functions.name:0` and `name` alone. */
function nameOf(head: string): string {
  return head
    .trim()
    .replace(/^functions\.(?=.)/, '')
    .replace(/:\d+$/, '');
}

/** Behind `function`, the name has a line of its own; without arguments nothing follows the head. */
function* nameInLine(reading: Reading, first: Unit, head: string): Parse<string> {
  let name = '';
  let unit = first;
  while (typeof unit === 'string' && unit !== '\n' && name.length < maxHeadChars) {
    name += unit;
    unit = yield* reading.take();
  }
  if (unit !== '\n') reading.back(unit);
  if (name === '' && !isEnd(unit)) return nameOf(head);
  return isEnd(unit) ? '' : name.trim();
}

/** What comes behind white space and a line that opens a fenced block. */
function* behindFence(reading: Reading): Parse<Unit> {
  const first = yield* afterSpace(reading);
  if (first !== fence) return first;
  let unit: Unit = first;
  while (typeof unit === 'string' && /[`\w]/.test(unit)) unit = yield* reading.take();
  return isSpace(unit) ? yield* afterSpace(reading) : unit;
}

function* args(reading: Reading, first: Unit, end: Tag): Parse {
  if (first === '{') yield* jsonValue(reading, first, (text) => reading.arguments(text));
  else {
    reading.back(first);
    if (!isEnd(first) || first.end === 'stop') reading.arguments('{}');
  }
  let unit = yield* reading.take();
  while (unit === fence || isSpace(unit)) unit = yield* reading.take();
  reading.back(unit);
  yield* takeTag(reading, [end]);
  reading.drop();
  reading.startRecord();
}
