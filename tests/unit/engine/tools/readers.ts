/** Answers as tests write them: text, in which markers of the vocabulary stand between ⟦ and ⟧. */
import { AnswerReader } from '../../../../ts/engine/text/answer-reader.js';
import { Detokenizer } from '../../../../ts/engine/text/detokenizer.js';
import { type AnswerForm, plainForm } from '../../../../ts/engine/text/tools/parser.js';
import { wholeText } from '../../../../ts/engine/text/utf8.js';
import type { GenerationChunk, ToolFormat } from '../../../../ts/engine/types.js';

/** A vocabulary that grows with what is asked of it. */
class Tokens {
  readonly #names: string[] = [];
  readonly #added = new Set<number>();

  id(name: string, added = false): number {
    const known = this.#names.findIndex((one, id) => one === name && this.#added.has(id) === added);
    if (known >= 0) return known;
    if (added) this.#added.add(this.#names.length);
    return this.#names.push(name) - 1;
  }

  bytes(token: number): Uint8Array {
    return Buffer.from(this.#names[token] ?? '');
  }

  text(token: number): string | undefined {
    return wholeText(this.bytes(token));
  }

  addedText(token: number): string | undefined {
    return this.#added.has(token) ? this.#names[token] : undefined;
  }

  isSpecial(token: number): boolean {
    return this.#added.has(token);
  }
}

export interface Read {
  text: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
  stopText: string | undefined;
  raw: string;
}

/** How an answer is cut into tokens: each marker is one of its own. */
export type Cut = (text: string) => string[];

export const byChar: Cut = (text) => Array.from(text);
export const whole: Cut = (text) => (text === '' ? [] : [text]);

const listDefs = { list: { anyOf: [{ type: 'array' }, { enum: ['none'] }] } };

export function form(calls: ToolFormat | undefined, changes: Partial<AnswerForm> = {}): AnswerForm {
  const tag = (text: string, token: boolean) => ({ text, token });
  const token = changes.isToken?.('<think>') ?? false;
  return {
    ...plainForm,
    names: new Set(['get_weather', 'add', 'note']),
    parameters: new Map([
      ['add', { properties: { a: { type: 'number' }, b: { type: ['integer', 'null'] } } }],
      ['note', { properties: { text: { type: 'string' }, list: { $ref: '#/$defs/list' } }, $defs: listDefs }],
    ]),
    calls,
    harmony: calls === 'harmony',
    thoughts: { open: tag('<think>', token), close: tag('</think>', token) },
    ...changes,
  };
}

/** Pieces of an answer: texts, and markers. */
export function pieces(answer: string): { text: string; marker: boolean }[] {
  return answer.split(/(⟦[^⟧]*⟧)/).flatMap((text) => {
    if (text === '') return [];
    const marker = text.startsWith('⟦');
    return [{ text: marker ? text.slice(1, -1) : text, marker }];
  });
}

export interface ReadOptions {
  stops?: readonly string[];
  end?: 'stop' | 'length' | 'cancelled';
  /** Tokens after which the answer is cut off. */
  tokens?: number;
}

/** Reads an answer token by token. Checks on the way that chunks and result say the same. */
export function read(answer: string, how: AnswerForm, cut: Cut = byChar, options: ReadOptions = {}): Read {
  const table = new Tokens();
  const ids = pieces(answer).flatMap(({ text, marker }) =>
    marker ? [table.id(text, true)] : cut(text).map((part) => table.id(part)),
  );
  const reader = new AnswerReader({
    detokenizer: new Detokenizer(table),
    table,
    stops: options.stops ?? [],
    form: how,
  });
  const chunks: GenerationChunk[] = [];
  for (const id of ids.slice(0, options.tokens)) chunks.push(...reader.push(id));
  const reason = options.end ?? (options.tokens === undefined ? 'stop' : 'length');
  chunks.push(...reader.end(reason));
  const streamed = fromChunks(chunks);
  const result: Read = {
    text: reader.text,
    reasoning: reader.reasoning,
    calls: reader.toolCalls.map((call) => ({ name: call.name, arguments: call.arguments })),
    stopText: reader.stopText,
    raw: reader.raw,
  };
  const said = { text: result.text, reasoning: result.reasoning, calls: result.calls };
  if (JSON.stringify(streamed) !== JSON.stringify(said)) {
    throw new Error(`chunks say ${JSON.stringify(streamed)}, the result ${JSON.stringify(said)}`);
  }
  const tokens = chunks.flatMap((chunk) => chunk.tokens);
  if (tokens.join() !== reader.tokens().join())
    throw new Error('the chunks have other tokens than the answer');
  return result;
}

function fromChunks(chunks: readonly GenerationChunk[]): Pick<Read, 'text' | 'reasoning' | 'calls'> {
  const textOf = (type: 'text' | 'reasoning') =>
    chunks.map((chunk) => (chunk.type === type ? chunk.text : '')).join('');
  const parts = chunks.filter((chunk) => chunk.type === 'tool_call');
  const calls = parts
    .filter((part) => part.name !== undefined)
    .map(({ index, name = '' }) => {
      const args = parts.filter((part) => part.index === index).map((part) => part.arguments);
      return { name, arguments: args.join('') };
    });
  return { text: textOf('text'), reasoning: textOf('reasoning'), calls };
}
