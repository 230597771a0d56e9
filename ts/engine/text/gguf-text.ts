/**
 * The text side of a GGUF file: its metadata describe the tokenizer, here in the form of a tokenizer.json, and
 * hold the chat template. They are hostile input: everything read is checked.
 */
import { StompError } from '../../errors.js';
import type { GgufMetadata } from '../../native.js';
import { knownMarkers, type TextParts } from './text-parts.js';
import type { AddedTokenJson, TokenizerJson } from './tokenizer.js';

/** Kinds of tokens in `tokenizer.ggml.token_type` that are found in a text as a whole. */
const controlToken = 3;
const userDefinedToken = 4;

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };

// The pattern of Llama 3's published tokenizer.json.
const llama3Pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" +
  '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

interface PreTokenizer {
  json: unknown;
  /** Whole words that are in the vocabulary are taken as they are. */
  ignoreMerges: boolean;
}

const gpt2: PreTokenizer = { json: { ...byteLevel, use_regex: true }, ignoreMerges: false };
const llama3: PreTokenizer = {
  json: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: llama3Pattern }, behavior: 'Isolated', invert: false },
      { ...byteLevel, use_regex: false },
    ],
  },
  ignoreMerges: true,
};
const smollm: PreTokenizer = {
  json: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Isolated', invert: false },
      { ...byteLevel, use_regex: true },
    ],
  },
  ignoreMerges: false,
};

/** By the name in `tokenizer.ggml.pre`; several names have been in use for one thing. */
const preTokenizers = new Map<string, PreTokenizer>([
  ['default', gpt2],
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama-v3', llama3],
  ['llama3', llama3],
  ['smollm', smollm],
]);

/**
 * Tokenizer and template of a GGUF file.
 * @throws StompError MODEL_UNSUPPORTED, MODEL_INVALID
 */
export function ggufTextParts(metadata: GgufMetadata): TextParts {
  const names = texts(metadata, 'tokenizer.ggml.tokens');
  const bos = tokenId(metadata, 'bos_token_id', names.length);
  const eos = tokenId(metadata, 'eos_token_id', names.length);
  const template = metadata['tokenizer.chat_template'];
  return {
    json: tokenizerJson(metadata, names),
    bosIds: bos !== undefined && metadata['tokenizer.ggml.add_bos_token'] === 1 ? [bos] : [],
    markers: knownMarkers({
      bos_token: bos === undefined ? undefined : names[bos],
      eos_token: eos === undefined ? undefined : names[eos],
    }),
    template: typeof template === 'string' ? template : undefined,
  };
}

function tokenizerJson(metadata: GgufMetadata, names: readonly string[]): TokenizerJson {
  const model = metadata['tokenizer.ggml.model'];
  if (model !== 'gpt2') unsupported('tokenizer', model, ['gpt2']);
  const pre = metadata['tokenizer.ggml.pre'] ?? 'default';
  const preTokenizer = typeof pre === 'string' ? preTokenizers.get(pre) : undefined;
  if (!preTokenizer) unsupported('pre-tokenizer', pre, [...preTokenizers.keys()]);
  const vocab = Object.create(null) as Record<string, number>;
  for (const [id, name] of names.entries()) vocab[name] ??= id;
  return {
    model: {
      type: 'BPE',
      vocab,
      merges: mergePairs(texts(metadata, 'tokenizer.ggml.merges')),
      unk_token: null,
      ignore_merges: preTokenizer.ignoreMerges,
    },
    added_tokens: addedTokens(names, metadata['tokenizer.ggml.token_type']),
    normalizer: null,
    pre_tokenizer: preTokenizer.json,
    post_processor: null,
    decoder: byteLevel,
  };
}

/** A token id, or undefined when the file names none. */
function tokenId(metadata: GgufMetadata, key: string, vocabSize: number): number | undefined {
  const id = metadata[`tokenizer.ggml.${key}`];
  if (id === undefined) return undefined;
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
  invalid(`tokenizer.ggml.${key} is ${String(id)}, but the vocabulary has ${vocabSize} tokens`);
}

function addedTokens(names: readonly string[], types: unknown): AddedTokenJson[] {
  if (types === undefined) return [];
  if (!Array.isArray(types) || types.length !== names.length) {
    invalid('tokenizer.ggml.token_type has another length than tokenizer.ggml.tokens');
  }
  return names.flatMap((content, id) => {
    const type: unknown = types[id];
    if (content === '' || (type !== controlToken && type !== userDefinedToken)) return [];
    return [{ id, content, special: type === controlToken, normalized: false }];
  });
}

function mergePairs(merges: readonly string[]): [string, string][] {
  return merges.map((merge) => {
    const space = merge.indexOf(' ');
    if (space < 1 || space === merge.length - 1) invalid(`${JSON.stringify(merge)} is no merge`);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
}

function texts(metadata: GgufMetadata, key: string): readonly string[] {
  const value = metadata[key];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  invalid(`${key} is missing or holds no texts`);
}

function invalid(reason: string): never {
  throw new StompError('MODEL_INVALID', `The model file's tokenizer is damaged: ${reason}.`);
}

function unsupported(what: string, name: unknown, supported: readonly string[]): never {
  throw new StompError(
    'MODEL_UNSUPPORTED',
    `The model file's ${what} ${JSON.stringify(name) ?? '(unnamed)'} is not supported yet. Supported: ` +
      `${supported.join(', ')}. A folder with tokenizer.json and safetensors may work.`,
    { fields: { [what]: name, supported } },
  );
}
