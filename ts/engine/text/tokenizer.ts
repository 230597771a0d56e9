/**
 * Text to tokens and back, for one model. Main thread only; holds no reference to the model.
 *
 * Wraps a byte-pair encoder with what a server needs besides: it works in slices so that a long prompt
 * does not hold up the event loop, tells where in a text a cut is safe, and gives each token's bytes.
 */
import type { Tokenizer as Encoder } from '@huggingface/tokenizers';
import { StompError } from '../../errors.js';
import { loopTurn } from '../../loop-turn.js';
import type { Tokenizer } from '../types.js';
import { Detokenizer, type TokenTable } from './detokenizer.js';
import type { AddedToken } from './tools/form-vocabulary.js';
import { wholeText } from './utf8.js';

/** The parts of a tokenizer.json that are read here. */
export interface TokenizerJson {
  model: { type?: string; vocab: Record<string, number>; [key: string]: unknown };
  added_tokens: AddedTokenJson[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  post_processor: unknown;
  decoder: unknown;
}

export interface AddedTokenJson {
  id: number;
  content: string;
  special?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  single_word?: boolean;
  normalized?: boolean;
}

export interface TokenizerParts {
  json: TokenizerJson;
  encoder: Encoder;
  /** Ids that begin a text when asked for. */
  bosIds: readonly number[];
}

/** A place where a text may be cut without changing its tokens: a marker stands there, or the text ends. */
export interface Seam {
  /** Offset in UTF-16 units. */
  char: number;
  /** Index of the first token after it. */
  token: number;
}

export interface Encoded {
  tokens: number[];
  seams: Seam[];
}

/** Longest piece that is encoded without looking at the clock. */
const sliceChars = 1024;
/** How long the event loop may be held. */
const sliceMs = 2;

export class TextTokenizer implements Tokenizer, TokenTable {
  readonly vocabSize: number;
  /** Bytes of the longest token: a text of n bytes has at least n / maxTokenBytes tokens. */
  readonly maxTokenBytes: number;
  readonly #encoder: Encoder;
  readonly #bosIds: readonly number[];
  readonly #names: (string | undefined)[];
  readonly #bytes: (Uint8Array | undefined)[];
  /** Null: not looked at yet. */
  readonly #texts: (string | undefined | null)[];
  readonly #added: ReadonlyMap<number, AddedTokenJson>;
  readonly #byteLevel: boolean;
  readonly #cutsAtWords: boolean;
  readonly #trimFirstSpace: boolean;
  /** Special tokens before which a text may be cut. */
  readonly #seamMarker: { at: RegExp; all: RegExp } | undefined;

  constructor({ json, encoder, bosIds }: TokenizerParts) {
    this.#encoder = encoder;
    this.#bosIds = bosIds;
    this.#names = tokenNames(json);
    this.vocabSize = this.#names.length;
    this.#bytes = new Array<Uint8Array | undefined>(this.vocabSize);
    this.#texts = new Array<string | undefined | null>(this.vocabSize).fill(null);
    this.#added = new Map(json.added_tokens.map((token) => [token.id, token]));
    this.#byteLevel = mentions(json.decoder, 'ByteLevel');
    this.#trimFirstSpace = mentions(json.decoder, 'Strip') || mentions(json.decoder, 'Metaspace');
    this.#seamMarker = markerPattern(json.added_tokens.filter(cutsCleanly));
    this.#cutsAtWords =
      this.#byteLevel && !mentions(json.normalizer, 'Prepend') && json.added_tokens.every(sparesWords);
    this.maxTokenBytes = this.#names.reduce((most, name) => Math.max(most, 3 * (name?.length ?? 0)), 1);
  }

  encode(text: string, options: { bos?: boolean } = {}): number[] {
    const tokens = this.#encodePiece(text);
    return options.bos ? [...this.bosBefore(tokens), ...tokens] : tokens;
  }

  decode(tokens: readonly number[], options: { skipSpecial?: boolean } = {}): string {
    const detokenizer = this.detokenizer({ skipSpecial: options.skipSpecial ?? false });
    return tokens.map((token) => detokenizer.push(token)).join('');
  }

  /** For the tokens of one answer. */
  detokenizer(options: { skipSpecial?: boolean } = {}): Detokenizer {
    return new Detokenizer(this, { ...options, trimFirstSpace: this.#trimFirstSpace });
  }

  /**
   * Encodes `text` from offset `from` on, letting the event loop run in between. The tokens are those that
   * `encode` gives for the same text.
   * @throws StompError CANCELLED
   */
  async encodeInSlices(text: string, from = 0, signal?: AbortSignal): Promise<Encoded> {
    const tokens: number[] = [];
    const seams: Seam[] = [];
    await loopTurn();
    let held = performance.now();
    for (const piece of this.#slices(text, from)) {
      if (piece.seam) seams.push({ char: piece.start, token: tokens.length });
      for (const token of this.#encodePiece(text.slice(piece.start, piece.end))) tokens.push(token);
      if (performance.now() - held < sliceMs) continue;
      await loopTurn();
      if (signal?.aborted) throw new StompError('CANCELLED', 'Cancelled.', { cause: signal.reason });
      held = performance.now();
    }
    return { tokens, seams };
  }

  /** Whether a text may be cut here: a marker begins that swallows nothing before it. */
  isSeam(text: string, char: number): boolean {
    if (!this.#seamMarker) return false;
    this.#seamMarker.at.lastIndex = char;
    return this.#seamMarker.at.test(text);
  }

  /** The first place from here on where a special marker begins that is none of these. */
  nextSeam(text: string, from: number, except: ReadonlySet<string>): number | undefined {
    if (!this.#seamMarker) return undefined;
    this.#seamMarker.all.lastIndex = from;
    for (const match of text.matchAll(this.#seamMarker.all)) if (!except.has(match[0])) return match.index;
    return undefined;
  }

  /** The ids to put before a raw text: none when its own text begins with them. */
  bosBefore(tokens: readonly number[]): readonly number[] {
    return tokens.length > 0 && tokens[0] === this.#bosIds[0] ? [] : this.#bosIds;
  }

  bytes(token: number): Uint8Array {
    const known = this.#bytes[token];
    if (known) return known;
    const name = this.#names[token];
    if (name === undefined) return new Uint8Array(0);
    const bytes = this.#added.has(token) ? Buffer.from(name) : this.#ordinaryBytes(name);
    this.#bytes[token] = bytes;
    return bytes;
  }

  text(token: number): string | undefined {
    const known = this.#texts[token];
    if (known !== null) return token < this.vocabSize ? known : '';
    const text = wholeText(this.bytes(token));
    this.#texts[token] = text;
    return text;
  }

  isSpecial(token: number): boolean {
    return this.#added.get(token)?.special ?? false;
  }

  /** The text of a token that is found in texts as a whole, special or not. */
  addedText(token: number): string | undefined {
    return this.#added.get(token)?.content;
  }

  /** All such tokens. */
  get addedTokens(): AddedToken[] {
    return [...this.#added.values()].map(({ id, content, special = false }) => ({
      id,
      text: content,
      special,
    }));
  }

  /** Whether such a token has this text. */
  hasAdded(text: string): boolean {
    const id = this.tokenId(text);
    return id !== undefined && this.#added.get(id)?.content === text;
  }

  /** The id of a marker, or undefined. */
  tokenId(name: string): number | undefined {
    return this.#encoder.token_to_id(name);
  }

  #encodePiece(text: string): number[] {
    return text === '' ? [] : this.#encoder.encode(text, { add_special_tokens: false }).ids;
  }

  #ordinaryBytes(name: string): Uint8Array {
    if (this.#byteLevel) return byteLevelBytes(name);
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(name);
    return byte
      ? Uint8Array.of(Number.parseInt(byte[1] ?? '', 16))
      : Buffer.from(name.replaceAll('\u2581', ' '));
  }

  /** Each marker with the text up to the next one, cut further where the vocabulary allows it. */
  *#slices(text: string, from: number): Generator<Slice> {
    const starts = [from, ...this.#seamsIn(text, from)];
    for (const [i, start] of starts.entries()) {
      const end = starts[i + 1] ?? text.length;
      if (start < end) yield* this.#words(text, start, end, i > 0);
    }
  }

  #seamsIn(text: string, from: number): number[] {
    if (!this.#seamMarker) return [];
    // matchAll works on a copy of the pattern and begins at its lastIndex.
    this.#seamMarker.all.lastIndex = from;
    return Array.from(text.matchAll(this.#seamMarker.all), (match) => match.index);
  }

  // Byte-level vocabularies split a text before each space that stands between two ASCII letters, whatever
  // their pattern; others may look across it.
  *#words(text: string, from: number, to: number, seam: boolean): Generator<Slice> {
    let start = from;
    while (this.#cutsAtWords && to - start > sliceChars) {
      const cut = wordStart(text, start + sliceChars, to);
      if (cut < 0) break;
      yield { start, end: cut, seam: seam && start === from };
      start = cut;
    }
    yield { start, end: to, seam: seam && start === from };
  }
}

interface Slice {
  start: number;
  end: number;
  /** A marker stands at the start. */
  seam: boolean;
}

const wordBoundary = /[A-Za-z](?= [A-Za-z])/g;

function wordStart(text: string, from: number, to: number): number {
  wordBoundary.lastIndex = from;
  const match = wordBoundary.exec(text);
  return match && match.index + 2 < to ? match.index + 1 : -1;
}

function tokenNames(json: TokenizerJson): (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const [name, id] of Object.entries(json.model.vocab)) names[id] = name;
  for (const token of json.added_tokens) names[token.id] = token.content;
  return names;
}

/** Whether a component, or one inside it, is of this type. */
export function mentions(component: unknown, type: string): boolean {
  if (typeof component !== 'object' || component === null) return false;
  const { type: own, ...rest } = component as { type?: unknown };
  return own === type || Object.values(rest).some((part) => mentions(part, type));
}

function cutsCleanly(token: AddedTokenJson): boolean {
  return !!token.special && !token.lstrip && !token.rstrip && !token.single_word && !token.normalized;
}

/** Whether no cut between two words can touch this token. */
function sparesWords(token: AddedTokenJson): boolean {
  const swallows = token.lstrip || token.rstrip;
  return !(swallows && /^[A-Za-z]|[A-Za-z]$/.test(token.content)) && !/[A-Za-z] [A-Za-z]/.test(token.content);
}

function markerPattern(tokens: readonly AddedTokenJson[]): { at: RegExp; all: RegExp } | undefined {
  const contents = tokens.map((token) => token.content).filter((content) => content !== '');
  if (contents.length === 0) return undefined;
  // Alternatives are tried in order: the longest marker must come first.
  contents.sort((a, b) => b.length - a.length);
  const pattern = contents.map(escapePattern).join('|');
  return { at: new RegExp(pattern, 'y'), all: new RegExp(pattern, 'g') };
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

// Byte-level vocabularies write each byte as one printable character: itself where it is printable
// Latin-1, else 256 and up in the order of the bytes.
const byteOfChar: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    map.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return map;
})();

function byteLevelBytes(name: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of name) {
    const byte = byteOfChar.get(char);
    if (byte === undefined) return Buffer.from(name);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
