/**
 * One answer as its tokens arrive: characters put together, thoughts and calls told apart from text, stop texts
 * kept out. Knows which tokens make up what was let through. One user each.
 */
import type { GenerationChunk, TokenLogprob, ToolCall } from '../types.js';
import type { Detokenizer, TokenTable } from './detokenizer.js';
import { StopStrings } from './stop-strings.js';
import { newCallId } from './tools/call-id.js';
import { type AnswerForm, AnswerParser, answerMarkers, plainForm } from './tools/parser.js';
import type { AnswerEvent } from './tools/reading.js';

export interface AnswerTokens extends Pick<TokenTable, 'isSpecial'> {
  /** Text of a token that is found in texts as a whole, special or not; undefined for all others. */
  addedText(token: number): string | undefined;
}

export interface AnswerReaderSetup {
  detokenizer: Detokenizer;
  table: AnswerTokens;
  /** They end the answer when they appear in its text; in thoughts and arguments they may stand. */
  stops: readonly string[];
  /** @default all is text */
  form?: AnswerForm;
}

/** Where a stretch of the text stands in the raw answer. */
interface Stretch {
  shown: number;
  raw: number;
}

export class AnswerReader {
  readonly #detokenizer: Detokenizer;
  readonly #table: AnswerTokens;
  readonly #parser: AnswerParser;
  readonly #stopTexts: readonly string[];
  #stops: StopStrings;
  readonly #tokens: number[] = [];
  readonly #logprobs: TokenLogprob[] = [];
  /** ends[i]: where token i ends in the raw text; one past its end while its character is incomplete. */
  readonly #ends: number[] = [];
  #raw = '';
  /** Where the answer ends in the raw text, once a stop text or its first call has ended it. */
  #rawEnd: number | undefined;
  #reported = 0;
  readonly #stretches: Stretch[] = [];
  #streamed = 0;
  #text = '';
  #reasoning = '';
  readonly #calls: ToolCall[] = [];
  #stopText: string | undefined;
  #chunks: GenerationChunk[] = [];
  #lastPiece: GenerationChunk = { type: 'text', text: '', tokens: [] };

  constructor(setup: AnswerReaderSetup) {
    this.#detokenizer = setup.detokenizer;
    this.#table = setup.table;
    this.#parser = new AnswerParser(setup.form ?? plainForm);
    this.#stopTexts = setup.stops;
    this.#stops = new StopStrings(setup.stops);
  }

  /** Text let through so far. */
  get text(): string {
    return this.#text;
  }

  get reasoning(): string {
    return this.#reasoning;
  }

  get toolCalls(): readonly ToolCall[] {
    return this.#calls;
  }

  /** The stop text that was found. */
  get stopText(): string | undefined {
    return this.#stopText;
  }

  /** The answer has ended, by a stop text or with its only call; tokens that arrive later are ignored. */
  get ended(): boolean {
    return this.#rawEnd !== undefined;
  }

  /** Tokens that arrived, the stop text's included. */
  get arrived(): number {
    return this.#tokens.length;
  }

  /** The answer as the model wrote it, markers included, without the stop text. */
  get raw(): string {
    return this.#raw.slice(0, this.#rawEnd);
  }

  /** @param logprob of this token, when they were asked for. */
  push(token: number, logprob?: TokenLogprob): GenerationChunk[] {
    if (this.ended) return [];
    this.#tokens.push(token);
    if (logprob) this.#logprobs.push(logprob);
    this.#read(token);
    return this.#takeChunks(this.ended);
  }

  /** No more tokens come. */
  end(reason: 'stop' | 'length' | 'cancelled'): GenerationChunk[] {
    if (this.ended) return [];
    this.#take(this.#parser.end(reason === 'stop' ? 'stop' : 'cut'));
    if (!this.ended) this.#letThrough(this.#stops.end());
    return this.#takeChunks(true);
  }

  /** The tokens of `raw`. */
  tokens(): number[] {
    return this.#rawEnd === undefined ? [...this.#tokens] : this.#tokens.slice(0, this.#kept(this.#rawEnd));
  }

  /** One for each of `tokens`, when they were asked for. */
  logprobs(): TokenLogprob[] {
    return this.#logprobs.slice(0, this.tokens().length);
  }

  /** Whether those tokens are all of `raw`: not when a stop text began in the middle of one. */
  get whole(): boolean {
    if (this.#rawEnd === undefined) return true;
    return (this.#ends[this.#kept(this.#rawEnd) - 1] ?? 0) === this.#rawEnd;
  }

  #read(token: number): void {
    const text = this.#detokenizer.push(token);
    const added = this.#table.addedText(token);
    const special = this.#table.isSpecial(token);
    const marker = added !== undefined && (special || answerMarkers.has(added)) ? added : '';
    // A marker that is not special comes as text; before it stands what was left of an unfinished character.
    const plain = text.endsWith(marker) ? text.slice(0, text.length - marker.length) : text;
    this.#raw += plain + marker;
    this.#ends.push(plain + marker === '' ? this.#raw.length + 1 : this.#raw.length);
    if (plain !== '') this.#take(this.#parser.text(plain));
    if (marker !== '' && !this.ended) this.#take(this.#parser.marker(marker, special));
  }

  #take(events: readonly AnswerEvent[]): void {
    for (const event of events) {
      if (this.ended) return;
      this.#event(event);
    }
    if (this.#parser.finished && !this.ended) {
      this.#flush();
      this.#rawEnd = this.#parser.decided;
    }
  }

  #event(event: AnswerEvent): void {
    if (event.type === 'text') {
      this.#stream(event.text, event.end);
      return;
    }
    this.#flush();
    if (event.type === 'reasoning') {
      this.#reasoning += event.text;
      this.#chunk({ type: 'reasoning', text: event.text, tokens: [] });
    } else if (event.type === 'call') {
      const { name } = event;
      const call = { id: newCallId(), name, arguments: '' };
      this.#chunk({ type: 'tool_call', index: this.#calls.length, ...call, tokens: [] });
      this.#calls.push(call);
    } else {
      this.#argue(event.text);
    }
  }

  #argue(text: string): void {
    const call = this.#calls.at(-1);
    if (!call) return;
    call.arguments += text;
    this.#chunk({ type: 'tool_call', index: this.#calls.length - 1, arguments: text, tokens: [] });
  }

  /** What was held back for a stop text that never came: it does not reach across thoughts and calls. */
  #flush(): void {
    const held = this.#stops.end();
    if (held === '') return;
    this.#stops = new StopStrings(this.#stopTexts);
    this.#letThrough(held);
  }

  #stream(text: string, end: number): void {
    const stretch = { shown: this.#streamed, raw: end - text.length };
    const last = this.#stretches.at(-1);
    const goesOn = last && last.raw - last.shown === stretch.raw - stretch.shown;
    if (!goesOn) this.#stretches.push(stretch);
    this.#streamed += text.length;
    const found = this.#stops.push(text);
    this.#letThrough(found.text);
    if (found.stop === undefined) return;
    this.#stopText = found.stop;
    this.#rawEnd = this.#rawAt(this.#text.length);
  }

  #letThrough(text: string): void {
    if (text === '') return;
    this.#text += text;
    this.#chunk({ type: 'text', text, tokens: [] });
  }

  /** Where a character of the text stands in the raw answer. */
  #rawAt(shown: number): number {
    const stretch = this.#stretches.findLast((one) => one.shown <= shown) ?? { shown: 0, raw: 0 };
    return stretch.raw + shown - stretch.shown;
  }

  /** A token belongs to the piece in which its text ends. */
  #chunk(chunk: GenerationChunk): void {
    const last = this.#chunks.at(-1);
    if (!last || !joined(last, chunk)) this.#chunks.push(chunk);
    this.#lastPiece = chunk;
  }

  /** @param over nothing follows: tokens whose text is not shown, a closing marker's for one, come with an empty piece. */
  #takeChunks(over: boolean): GenerationChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    const from = this.#reported;
    if (over && chunks.length === 0 && this.tokens().length > from) chunks.push(emptied(this.#lastPiece));
    const last = chunks.at(-1);
    if (!last) return chunks;
    // Of the text, a part may be held back.
    const through =
      this.#text.length === this.#streamed ? this.#parser.decided : this.#rawAt(this.#text.length);
    this.#reported = over ? this.tokens().length : Math.max(from, this.#kept(this.#rawEnd ?? through));
    last.tokens = this.#tokens.slice(from, this.#reported);
    if (this.#logprobs.length > 0) last.logprobs = this.#logprobs.slice(from, this.#reported);
    return chunks;
  }

  /** How many tokens end within the first `raw` characters. */
  #kept(raw: number): number {
    let count = this.#reported;
    while (count < this.#ends.length && (this.#ends[count] ?? 0) <= raw) count++;
    return count;
  }
}

/** A piece that says nothing more, of the same kind. */
function emptied(piece: GenerationChunk): GenerationChunk {
  return piece.type === 'tool_call'
    ? { type: piece.type, index: piece.index, arguments: '', tokens: [] }
    : { type: piece.type, text: '', tokens: [] };
}

/** Appends a piece to the one before, where both are of one kind and none is begun by the second. */
export function joined(into: GenerationChunk, piece: GenerationChunk): boolean {
  if (into.type === 'tool_call') {
    if (piece.type !== 'tool_call' || into.index !== piece.index) return false;
    into.arguments += piece.arguments;
  } else {
    if (piece.type !== into.type) return false;
    into.text += piece.text;
  }
  for (const token of piece.tokens) into.tokens.push(token);
  if (piece.logprobs) into.logprobs = [...(into.logprobs ?? []), ...piece.logprobs];
  return true;
}
