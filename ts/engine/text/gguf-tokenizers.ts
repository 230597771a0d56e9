/**
 * The kinds of tokenizer that GGUF files name, in the form of a tokenizer.json: byte-level BPE, whose patterns the
 * file only names, and SentencePiece, of which the file holds pieces and scores.
 */
import type { TokenizerJson } from './tokenizer.js';

type Parts = Pick<TokenizerJson, 'normalizer' | 'pre_tokenizer' | 'decoder'>;

/** What a byte-level vocabulary does to a text before its merges. */
export interface ByteLevelKind {
  readonly normalizer: unknown;
  readonly preTokenizer: unknown;
  /** Whole words that are in the vocabulary are taken as they are. */
  readonly ignoreMerges: boolean;
}

export const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };

// The patterns are those of the models' published tokenizer.json.
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const blanks = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const before = '[^\\r\\n\\p{L}\\p{N}]?';

/** A word of any case, and digits taken so many at a time. */
function plainPattern(digits: string): string {
  return `${contractions}|${before}\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${blanks}`;
}

/** Words that end where a capital follows a small letter. */
function casePattern(digits: string, ending: string): string {
  const words = `${before}${upper}*${lower}+${ending}|${before}${upper}+${lower}*${ending}`;
  return `${words}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${blanks}`;
}

function split(pattern: string): unknown {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

function sequence(...pretokenizers: unknown[]): unknown {
  return { type: 'Sequence', pretokenizers };
}

/** Splits by a pattern alone. */
function byPattern(pattern: string, ignoreMerges: boolean, normalizer: unknown = null): ByteLevelKind {
  const preTokenizer = sequence(split(pattern), { ...byteLevel, use_regex: false });
  return { normalizer, preTokenizer, ignoreMerges };
}

const gpt2: ByteLevelKind = {
  normalizer: null,
  preTokenizer: { ...byteLevel, use_regex: true },
  ignoreMerges: false,
};
const smollm: ByteLevelKind = {
  normalizer: null,
  preTokenizer: sequence(split('\\p{N}'), { ...byteLevel, use_regex: true }),
  ignoreMerges: false,
};
const llama3 = byPattern(plainPattern('\\p{N}{1,3}'), true);
const qwen2 = byPattern(plainPattern('\\p{N}'), false, { type: 'NFC' });
const o200k = byPattern(casePattern('\\p{N}{1,3}', `${contractions}?`), false);
const tekken = byPattern(casePattern('\\p{N}', ''), true);

/** By the name in `tokenizer.ggml.pre`; several names have been in use for one thing. */
export const byteLevelKinds: ReadonlyMap<string, ByteLevelKind> = new Map([
  ['default', gpt2],
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama-v3', llama3],
  ['llama3', llama3],
  ['qwen2', qwen2],
  ['gpt-4o', o200k],
  ['tekken', tekken],
  ['smollm', smollm],
]);

/** What stands for a space in a piece. */
const block = '\u2581';
const spaceToBlock = { type: 'Replace', pattern: { String: ' ' }, content: block };
const blockToSpace = { type: 'Replace', pattern: { String: block }, content: ' ' };

/** `prefix`: a text is taken as if a space stood before it. */
export function sentencePieceParts(prefix: boolean): Parts {
  const decoders = [blockToSpace, { type: 'ByteFallback' }, { type: 'Fuse' }];
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: block }, spaceToBlock] }
      : spaceToBlock,
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: prefix ? [...decoders, strip] : decoders },
  };
}

/** A user's own piece as it stands in a text. */
export function pieceText(piece: string): string {
  return piece.replaceAll(block, ' ');
}

interface Merge {
  readonly pair: [string, string];
  readonly score: number;
}

/**
 * The merges that SentencePiece's scores amount to: every way to put a piece together of two others, the pieces of
 * the higher scores first.
 * @param pieces scores of the ordinary pieces, in the order of their ids
 */
export function mergesOf(pieces: ReadonlyMap<string, number>): [string, string][] {
  const order = new Map([...pieces.keys()].map((piece, i) => [piece, i]));
  const rank = ([left, right]: Merge['pair']) => [order.get(left) ?? 0, order.get(right) ?? 0] as const;
  const merges: Merge[] = [];
  for (const [piece, score] of pieces) {
    const pairs = pairsOf(piece, pieces);
    pairs.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
    for (const pair of pairs) merges.push({ pair, score });
  }
  // The sort is stable: what scores alike stays in the order of the pieces.
  merges.sort((a, b) => b.score - a.score);
  return merges.map(({ pair }) => pair);
}

function pairsOf(piece: string, pieces: ReadonlyMap<string, number>): [string, string][] {
  const pairs: [string, string][] = [];
  let at = 0;
  for (const char of piece) {
    at += char.length;
    const left = piece.slice(0, at);
    const right = piece.slice(at);
    if (right !== '' && pieces.has(left) && pieces.has(right)) pairs.push([left, right]);
  }
  return pairs;
}
