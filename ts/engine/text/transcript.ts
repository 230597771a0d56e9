/**
 * What an agent has read and said: its messages, and its last prompt and answer as text and as tokens.
 * Immutable; may be shared between agents (a fork starts with its parent's).
 *
 * The tokens are those that the cache holds. Encoding an answer's text again may give others, so a new
 * prompt that begins with the kept text takes the kept tokens and encodes only what follows.
 */
import { StompError } from '../../errors.js';
import type { ChatMessage, TranscriptView } from '../types.js';
import { checkMessages } from './messages.js';
import type { Encoded, Seam, TextTokenizer } from './tokenizer.js';

/** Version of the JSON form. Versions 1 and 2 have no `answers`; readers refuse every other one. */
const formatVersion = 3;

/** Conversations beyond this are not kept; the agent's cache stays. */
const maxTranscriptChars = 32 * 1024 * 1024;

export interface Prompt {
  readonly text: string;
  tokens: number[];
  seams: Seam[];
  /** The ids that begin every text of this model were put before it. */
  bos: boolean;
  /** Of the tokens, taken from the transcript. */
  keptTokens: number;
  /** Of a chat. */
  rendered?: Rendered;
  /** Earlier answers that stand in the text as they were written. */
  answers?: readonly KeptAnswer[];
}

/** A prompt as the template alone would have it, where earlier answers are not quoted as they were written. */
export interface Rendered {
  chars: number;
  /** SHA-256 in hex. */
  hash: string;
}

/** Where an answer ends. What precedes it stands by itself: a conversation may go on from there in another way. */
export interface KeptAnswer {
  /** Messages up to it, itself included. */
  readonly messages: number;
  /** Characters of the text up to its end. */
  readonly chars: number;
  /** Its prompt. */
  readonly rendered: Rendered;
}

export interface TranscriptParts {
  messages: readonly ChatMessage[];
  text: string;
  tokens: readonly number[];
  /** Where the text may be cut; ascending, the end of the text included when it is one. */
  seams: readonly Seam[];
  bos: boolean;
  answers?: readonly KeptAnswer[];
}

export class Transcript {
  static readonly empty = new Transcript({ messages: [], text: '', tokens: [], seams: [], bos: false });

  readonly messages: readonly ChatMessage[];
  readonly text: string;
  readonly tokens: readonly number[];
  /** Ascending; the last one ends the text. None where no template wrote the prompt. */
  readonly answers: readonly KeptAnswer[];
  readonly #seams: readonly Seam[];
  readonly #bos: boolean;

  private constructor(parts: TranscriptParts) {
    this.messages = parts.messages;
    this.text = parts.text;
    this.tokens = parts.tokens;
    this.answers = parts.answers ?? [];
    this.#seams = parts.seams;
    this.#bos = parts.bos;
  }

  /** A conversation of which the model has read nothing yet. */
  static begun(messages: readonly ChatMessage[]): Transcript {
    return new Transcript({ messages, text: '', tokens: [], seams: [], bos: false });
  }

  /** The transcript after a turn. `answer.whole`: its tokens make up its text, no more and no less. */
  static after(
    messages: readonly ChatMessage[],
    prompt: Prompt,
    answer: { text: string; tokens: number[]; whole: boolean },
  ) {
    const text = prompt.text + answer.text;
    const tokens = [...prompt.tokens, ...answer.tokens];
    const end = answer.whole ? [{ char: text.length, token: tokens.length }] : [];
    const seams = [...prompt.seams, ...end];
    const { bos, rendered } = prompt;
    const own = rendered ? [{ messages: messages.length, chars: text.length, rendered }] : [];
    return new Transcript({
      messages,
      text,
      tokens,
      seams,
      bos,
      answers: [...(prompt.answers ?? []), ...own],
    });
  }

  /**
   * @throws StompError CACHE_CORRUPT when it is not what `toJson` writes.
   */
  static fromJson(json: string, vocabSize: number): Transcript {
    if (json === '') return Transcript.empty;
    try {
      return new Transcript(readParts(JSON.parse(json), vocabSize));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StompError(
        'CACHE_CORRUPT',
        `The transcript of this agent cannot be read (${reason}); it starts with an empty one.`,
        { cause },
      );
    }
  }

  /** Empty when there is nothing to keep or too much of it. */
  toJson(): string {
    const { messages, text, tokens, answers } = this;
    if (tokens.length === 0 && messages.length === 0) return '';
    const seams = this.#seams.flatMap((seam) => [seam.char, seam.token]);
    const bos = this.#bos;
    const json = JSON.stringify({ version: formatVersion, messages, text, tokens, seams, bos, answers });
    return json.length > maxTranscriptChars ? '' : json;
  }

  /** Rough size in memory. */
  get bytes(): number {
    return 4 * this.text.length + 8 * this.tokens.length;
  }

  view(): TranscriptView {
    return {
      messages: structuredClone(this.messages) as ChatMessage[],
      text: this.text,
      tokens: [...this.tokens],
    };
  }

  /**
   * The tokens of a prompt, as many of them as is safe from this transcript.
   * @param options.bos put the ids first that begin every raw text.
   * @throws StompError CANCELLED
   */
  async extend(
    text: string,
    tokenizer: TextTokenizer,
    options: { bos?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<Prompt> {
    const bos = options.bos ?? false;
    const seam = bos === this.#bos ? this.#lastSeam(text, tokenizer) : undefined;
    const from = seam ?? { char: 0, token: 0 };
    const rest = await tokenizer.encodeInSlices(text, from.char, options.signal);
    if (!seam && bos) prepend(tokenizer.bosBefore(rest.tokens), rest);
    return {
      text,
      tokens: [...this.tokens.slice(0, from.token), ...rest.tokens],
      seams: [
        ...this.#seams.filter((one) => one.char < from.char),
        ...rest.seams.map((one) => ({ char: one.char, token: one.token + from.token })),
      ],
      bos,
      keptTokens: from.token,
    };
  }

  // A cut is safe where the kept text and the new one still agree and a marker follows, since no token
  // reaches across the beginning of a marker.
  #lastSeam(text: string, tokenizer: TextTokenizer): Seam | undefined {
    const common = commonPrefixLength(this.text, text);
    return this.#seams.findLast(
      (seam) =>
        seam.char > 0 &&
        seam.char <= common &&
        (seam.char === text.length || tokenizer.isSeam(text, seam.char)),
    );
  }
}

function prepend(ids: readonly number[], encoded: Encoded): void {
  encoded.tokens.unshift(...ids);
  for (const seam of encoded.seams) seam.token += ids.length;
}

function commonPrefixLength(a: string, b: string): number {
  const block = 4096;
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at + block <= length && a.slice(at, at + block) === b.slice(at, at + block)) at += block;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}

function readParts(json: unknown, vocabSize: number): TranscriptParts {
  if (typeof json !== 'object' || json === null) throw new Error('no object');
  const { version, messages, text, tokens, seams, bos, answers } = json as Record<string, unknown>;
  if (version !== 1 && version !== 2 && version !== formatVersion)
    throw new Error(`version ${String(version)}`);
  if (typeof text !== 'string' || typeof bos !== 'boolean') throw new Error('text or bos missing');
  if (!Array.isArray(messages)) throw new Error('messages missing');
  const ids = integers('tokens', tokens, vocabSize - 1);
  const known = messages.length === 0 ? [] : checkMessages(messages);
  return {
    messages: known,
    text,
    tokens: ids,
    seams: readSeams(integers('seams', seams, Math.max(text.length, ids.length)), text.length, ids.length),
    bos,
    answers: version === formatVersion ? readAnswers(answers, known, text.length) : [],
  };
}

function readAnswers(value: unknown, messages: readonly ChatMessage[], chars: number): KeptAnswer[] {
  if (!Array.isArray(value)) throw new Error('answers missing');
  const answers = value.map(readAnswer);
  const ascend = answers.every((one, i) => {
    const before = answers[i - 1] ?? { messages: 0, chars: 0 };
    return one.messages > before.messages && one.chars >= before.chars && one.chars <= chars;
  });
  const said = answers.every((one) => messages[one.messages - 1]?.role === 'assistant');
  if (!ascend || !said) throw new Error('answers are out of order');
  return answers;
}

function readAnswer(value: unknown): KeptAnswer {
  const { messages, chars, rendered } = Object(value) as Record<string, unknown>;
  const { chars: length, hash } = Object(rendered) as Record<string, unknown>;
  if (![messages, chars, length].every(Number.isInteger) || typeof hash !== 'string') {
    throw new Error('answers are damaged');
  }
  return {
    messages: Number(messages),
    chars: Number(chars),
    rendered: { chars: Number(length), hash },
  };
}

function integers(what: string, value: unknown, max: number): number[] {
  const fits = (item: unknown) => Number.isInteger(item) && (item as number) >= 0 && (item as number) <= max;
  if (!Array.isArray(value) || !value.every(fits)) throw new Error(`${what} hold something else than ids`);
  return value;
}

function readSeams(flat: readonly number[], chars: number, tokens: number): Seam[] {
  const seams: Seam[] = [];
  let last: Seam = { char: -1, token: 0 };
  for (let i = 0; i < flat.length; i += 2) {
    const seam = { char: flat[i] ?? -1, token: flat[i + 1] ?? -1 };
    const ascends = seam.char > last.char && seam.token >= last.token;
    if (!ascends || seam.char > chars || seam.token > tokens) throw new Error('seams are out of order');
    seams.push(seam);
    last = seam;
  }
  return seams;
}
