/** Small vocabularies of both kinds, made up for tests. */
import { fileURLToPath } from 'node:url';
import { modelText } from '../../../ts/engine/text/model-text.js';
import type { TextParts } from '../../../ts/engine/text/text-parts.js';
import type { AddedTokenJson, TextTokenizer } from '../../../ts/engine/text/tokenizer.js';

/** Absolute path of a fixture. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
}

export async function textTokenizer(parts: TextParts): Promise<TextTokenizer> {
  return (await modelText(parts)).tokenizer;
}

/** The printable character that stands for a byte in byte-level vocabularies. */
function byteChar(byte: number): string {
  const printable = (code: number) =>
    (code >= 33 && code <= 126) || (code >= 161 && code !== 173 && code <= 255);
  if (printable(byte)) return String.fromCharCode(byte);
  let next = 256;
  for (let code = 0; code < byte; code++) if (!printable(code)) next++;
  return String.fromCharCode(next);
}

const markers: AddedTokenJson[] = [
  { id: 0, content: '<s>', special: true, normalized: false },
  { id: 1, content: '</s>', special: true, normalized: false },
];

/** Byte level: the bytes, and `ab`, `abc`, `bc`, of which BPE prefers `ab` first. */
export function gpt2Parts(
  options: { bosIds?: number[]; added?: AddedTokenJson[]; template?: string } = {},
): TextParts {
  const vocab: Record<string, number> = { '<s>': 0, '</s>': 1 };
  for (let byte = 0; byte < 256; byte++) vocab[byteChar(byte)] = 2 + byte;
  for (const name of ['ab', 'abc', 'bc']) vocab[name] = Object.keys(vocab).length;
  const merges = [
    ['a', 'b'],
    ['ab', 'c'],
    ['b', 'c'],
  ];
  return {
    json: {
      model: { type: 'BPE', vocab, merges, unk_token: null },
      added_tokens: [...markers, ...(options.added ?? [])],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
    },
    bosIds: options.bosIds ?? [],
    markers: { bos_token: '<s>', eos_token: '</s>' },
    template: options.template,
  };
}

/** In the manner of SentencePiece: a space marker before words, bytes for what is not in the vocabulary. */
export function sentencePieceParts(): TextParts {
  const vocab: Record<string, number> = { '<unk>': 0, '<s>': 1, '</s>': 2 };
  for (let byte = 0; byte < 256; byte++) {
    vocab[`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`] = 3 + byte;
  }
  const merges: string[][] = [];
  for (const name of ['▁', 'h', 'e', 'l', 'o', 'a']) vocab[name] = Object.keys(vocab).length;
  for (const pair of [
    ['h', 'e'],
    ['l', 'l'],
    ['he', 'll'],
    ['hell', 'o'],
    ['▁', 'hello'],
  ]) {
    merges.push(pair);
    vocab[pair.join('')] = Object.keys(vocab).length;
  }
  return {
    json: {
      model: { type: 'BPE', vocab, merges, unk_token: '<unk>', byte_fallback: true },
      added_tokens: [
        { id: 1, content: '<s>', special: true, normalized: false },
        { id: 2, content: '</s>', special: true, normalized: false },
      ],
      normalizer: null,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
    },
    bosIds: [1],
    markers: { bos_token: '<s>', eos_token: '</s>' },
    template: undefined,
  };
}
