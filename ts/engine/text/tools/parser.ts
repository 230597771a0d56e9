/** Reads an answer in one of the formats that models write: what is said, thought and called. One user each. */

import type { ToolFormat } from '../../types.js';
import { argumentSchema, schemaTypes } from './argument-values.js';
import { bareJson } from './bare-json.js';
import { harmony } from './harmony.js';
import { hermes } from './hermes.js';
import { deepseekMarks, kimiMarks, type Marks, marked, markStyle } from './marked.js';
import { mistral } from './mistral.js';
import { type AnswerEvent, type End, isEnd, type Parse, Reading, type Unit } from './reading.js';
import { freeText, Speech, type Tag, type ThoughtTags, thoughts } from './speech.js';
import { glmStyle, qwenCoderStyle, type TaggedRules, tagged } from './tagged.js';

export interface AnswerForm {
  /** Undefined: calls are not looked for. */
  readonly calls?: ToolFormat | undefined;
  /** The answer's own format, apart from calls, is harmony's. */
  readonly harmony?: boolean;
  /** Names of the functions that may be called. */
  readonly names: ReadonlySet<string>;
  /** Their parameters as JSON Schema, for formats that write arguments without types. */
  readonly parameters?: ReadonlyMap<string, unknown>;
  /** False: the answer ends with its first call. */
  readonly parallel: boolean;
  /** Undefined: the model does not think in tags. */
  readonly thoughts?: ThoughtTags | undefined;
  /** The prompt has opened the thoughts. */
  readonly thinking: boolean;
  /** Whether the vocabulary has a marker as one token. */
  readonly isToken: (marker: string) => boolean;
}

/** Nothing is looked for: all is text. */
export const plainForm: AnswerForm = {
  names: new Set(),
  parallel: true,
  thinking: false,
  isToken: () => false,
};

/** Tokens that are markers though a vocabulary may not call them special. */
export const answerMarkers: ReadonlySet<string> = new Set([
  '<tool_call>',
  '</tool_call>',
  '<think>',
  '</think>',
  '[TOOL_CALLS]',
  '[ARGS]',
  '[CALL_ID]',
  '[THINK]',
  '[/THINK]',
  '<|python_tag|>',
  '<arg_key>',
  '</arg_key>',
  '<arg_value>',
  '</arg_value>',
  ...[deepseekMarks, kimiMarks].flatMap(marksOf),
]);

function marksOf({ section, begin, separator, end }: Marks): string[] {
  return [...section, begin, separator, end];
}

const fence = '```';
const fences = ['```json', '```tool_code', '```tool_call'];

export class AnswerParser {
  readonly #reading = new Reading();
  /** Undefined where everything is text. */
  readonly #parse: Parse | undefined;
  #taken = 0;

  constructor(form: AnswerForm) {
    if (!form.calls && !form.harmony && !form.thoughts) return;
    this.#parse = answer(this.#reading, form);
    this.#parse.next();
  }

  /** Raw characters of which it is known what they are. */
  get decided(): number {
    return this.#parse ? this.#reading.decided : this.#taken;
  }

  /** The answer is complete; what comes is ignored. */
  get finished(): boolean {
    return this.#reading.finished;
  }

  text(piece: string): AnswerEvent[] {
    this.#taken += piece.length;
    if (!this.#parse) return piece === '' ? [] : [{ type: 'text', text: piece, end: this.#taken }];
    for (let i = 0; i < piece.length; i++) this.#take(piece.charAt(i));
    return this.#reading.takeEvents();
  }

  /** @param special one that is no text where nothing looks for it. */
  marker(marker: string, special: boolean): AnswerEvent[] {
    if (!this.#parse && !special) return this.text(marker);
    this.#taken += marker.length;
    this.#take({ marker, special });
    return this.#reading.takeEvents();
  }

  end(end: End['end']): AnswerEvent[] {
    this.#take({ end });
    return this.#reading.takeEvents();
  }

  #take(unit: Unit): void {
    if (!this.#reading.finished) this.#parse?.next(unit);
  }
}

function* answer(reading: Reading, form: AnswerForm): Parse {
  const speech = new Speech(reading);
  const { parallel } = form;
  if (form.harmony) return yield* harmony(reading, speech, { calls: form.calls === 'harmony', parallel });
  if (form.thoughts) yield* thoughts(reading, speech, form.thoughts, form.thinking);
  yield* called(reading, speech, form);
}

type Reader = (reading: Reading, speech: Speech, form: AnswerForm, tag: (text: string) => Tag) => Parse;

/** Harmony is a format of whole answers. */
const readers: Readonly<Record<Exclude<ToolFormat, 'harmony'>, Reader>> = {
  hermes: (reading, speech, { parallel }, tag) =>
    hermes(reading, speech, { open: tag('<tool_call>'), close: tag('</tool_call>') }, parallel),
  mistral: (reading, speech, { parallel }, tag) => mistral(reading, speech, tag('[TOOL_CALLS]'), parallel),
  llama: (reading, speech, { names, parallel }, tag) =>
    bareJson(reading, speech, { openers: [tag('<|python_tag|>')], names, parallel }),
  gemma: (reading, speech, { names, parallel }, tag) =>
    bareJson(reading, speech, { openers: fences.map(tag), fence, names, parallel }),
  'qwen-coder': (reading, speech, form, tag) =>
    tagged(reading, speech, qwenCoderStyle(tag), taggedRules(form)),
  glm: (reading, speech, form, tag) => tagged(reading, speech, glmStyle(tag), taggedRules(form)),
  deepseek: (reading, speech, { parallel }, tag) =>
    marked(reading, speech, markStyle(deepseekMarks, tag), parallel),
  'deepseek-r1': (reading, speech, { parallel }, tag) =>
    marked(reading, speech, markStyle(deepseekMarks, tag), parallel),
  kimi: (reading, speech, { parallel }, tag) => marked(reading, speech, markStyle(kimiMarks, tag), parallel),
};

function* called(reading: Reading, speech: Speech, form: AnswerForm): Parse {
  const { calls, isToken } = form;
  if (!calls || calls === 'harmony') return yield* silent(reading, speech);
  yield* readers[calls](reading, speech, form, (text) => ({ text, token: isToken(text) }));
}

function taggedRules({ parallel, names, parameters }: AnswerForm): TaggedRules {
  const types: TaggedRules['types'] = (tool, argument) => {
    const all = parameters?.get(tool);
    return schemaTypes(argumentSchema(all, argument), all);
  };
  return { parallel, names, types };
}

/** Everything is said. */
function* silent(reading: Reading, speech: Speech): Parse {
  let found: Tag | End;
  do found = yield* freeText(reading, speech, []);
  while (!isEnd(found));
}
