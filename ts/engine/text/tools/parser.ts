/** Reads an answer in one of the formats that models write: what is said, thought and called. One user each. */

import type { ToolFormat } from '../../types.js';
import { bareJson } from './bare-json.js';
import { harmony } from './harmony.js';
import { hermes } from './hermes.js';
import { mistral } from './mistral.js';
import { type AnswerEvent, type End, isEnd, type Parse, Reading, type Unit } from './reading.js';
import { freeText, Speech, type Tag, type ThoughtTags, thoughts } from './speech.js';

export interface AnswerForm {
  /** Undefined: calls are not looked for. */
  readonly calls?: ToolFormat | undefined;
  /** The answer's own format, apart from calls, is harmony's. */
  readonly harmony?: boolean;
  /** Names of the functions that may be called. */
  readonly names: ReadonlySet<string>;
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
]);

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
  const { parallel, names } = form;
  const tag = (text: string): Tag => ({ text, token: form.isToken(text) });
  if (form.harmony) return yield* harmony(reading, speech, { calls: form.calls === 'harmony', parallel });
  if (form.thoughts) yield* thoughts(reading, speech, form.thoughts, form.thinking);
  switch (form.calls) {
    case 'hermes':
      return yield* hermes(
        reading,
        speech,
        { open: tag('<tool_call>'), close: tag('</tool_call>') },
        parallel,
      );
    case 'mistral':
      return yield* mistral(reading, speech, tag('[TOOL_CALLS]'), parallel);
    case 'llama':
      return yield* bareJson(reading, speech, { openers: [tag('<|python_tag|>')], names, parallel });
    case 'gemma':
      return yield* bareJson(reading, speech, { openers: fences.map(tag), fence, names, parallel });
    default:
      return yield* silent(reading, speech);
  }
}

/** Everything is said. */
function* silent(reading: Reading, speech: Speech): Parse {
  let found: Tag | End;
  do found = yield* freeText(reading, speech, []);
  while (!isEnd(found));
}
