/**
 * The text side of a GGUF file: its metadata describe the tokenizer, here in the form of a tokenizer.json, and
 * hold the chat template. They are hostile input: everything read is checked.
 */
import { StompError } from '../../errors.js';
import type { GgufMetadata } from '../../native.js';
import { byteLevel, byteLevelKinds, mergesOf, pieceText, sentencePieceParts } from './gguf-tokenizers.js';
import { knownMarkers, type TextParts } from './text-parts.js';
import type { AddedTokenJson, TokenizerJson } from './tokenizer.js';

/** Kinds of tokens in `tokenizer.ggml.token_type`: of pieces, and what is found in a text as a whole. */
const normalToken = 1;
const controlToken = 3;
const userDefinedToken = 4;

/**
 * Tokenizer and template of a GGUF file.
 * @throws StompError MODEL_UNSUPPORTED, MODEL_INVALID
 */
export function ggufTextParts(metadata: GgufMetadata): TextParts {
  const names = texts(metadata, 'tokenizer.ggml.tokens');
  const bos = tokenId(metadata, 'bos_token_id', names.length);
  const eos = tokenId(metadata, 'eos_token_id', names.length);
  const template = metadata['tokenizer.chat_template'];
  const json = tokenizerJson(metadata, names);
  return {
    json,
    bosIds: bos !== undefined && flag(metadata, 'add_bos_token', !isByteLevel(json)) ? [bos] : [],
    markers: knownMarkers({
      bos_token: bos === undefined ? undefined : names[bos],
      eos_token: eos === undefined ? undefined : names[eos],
    }),
    template: typeof template === 'string' ? template : undefined,
  };
}

function isByteLevel(json: TokenizerJson): boolean {
  return json.decoder === byteLevel;
}

function tokenizerJson(metadata: GgufMetadata, names: readonly string[]): TokenizerJson {
  const model = metadata['tokenizer.ggml.model'];
  if (model === 'gpt2') return byteLevelJson(metadata, names);
  if (model === 'llama') return sentencePieceJson(metadata, names);
  return unsupported('tokenizer', model, ['gpt2', 'llama']);
}

function vocabulary(names: readonly string[]): Record<string, number> {
  const vocab = Object.create(null) as Record<string, number>;
  for (const [id, name] of names.entries()) vocab[name] ??= id;
  return vocab;
}

function byteLevelJson(metadata: GgufMetadata, names: readonly string[]): TokenizerJson {
  const pre = metadata['tokenizer.ggml.pre'] ?? 'default';
  const kind = typeof pre === 'string' ? byteLevelKinds.get(pre) : undefined;
  if (!kind) unsupported('pre-tokenizer', pre, [...byteLevelKinds.keys()]);
  return {
    model: {
      type: 'BPE',
      vocab: vocabulary(names),
      merges: mergePairs(texts(metadata, 'tokenizer.ggml.merges')),
      unk_token: null,
      ignore_merges: kind.ignoreMerges,
    },
    added_tokens: addedTokens(names, tokenTypes(metadata, names)),
    normalizer: kind.normalizer,
    pre_tokenizer: kind.preTokenizer,
    post_processor: null,
    decoder: byteLevel,
  };
}

function sentencePieceJson(metadata: GgufMetadata, names: readonly string[]): TokenizerJson {
  const types = tokenTypes(metadata, names);
  const scores = metadata['tokenizer.ggml.scores'];
  if (!Array.isArray(scores) || scores.length !== names.length) {
    invalid('tokenizer.ggml.scores has another length than tokenizer.ggml.tokens');
  }
  const pieces = new Map<string, number>();
  for (const [id, name] of names.entries()) {
    if ((types[id] ?? normalToken) === normalToken) pieces.set(name, Number(scores[id]));
  }
  const unknown = tokenId(metadata, 'unknown_token_id', names.length);
  return {
    model: {
      type: 'BPE',
      vocab: vocabulary(names),
      merges: mergesOf(pieces),
      unk_token: unknown === undefined ? null : names[unknown],
      fuse_unk: true,
      byte_fallback: true,
    },
    added_tokens: addedTokens(names, types).map((token) => ({
      ...token,
      content: token.special ? token.content : pieceText(token.content),
    })),
    ...sentencePieceParts(flag(metadata, 'add_space_prefix', true)),
    post_processor: null,
  };
}

/** A yes or no, or what a file without it means. */
function flag(metadata: GgufMetadata, key: string, otherwise: boolean): boolean {
  const value = metadata[`tokenizer.ggml.${key}`];
  return value === undefined ? otherwise : value === 1;
}

/** A token id, or undefined when the file names none. */
function tokenId(metadata: GgufMetadata, key: string, vocabSize: number): number | undefined {
  const id = metadata[`tokenizer.ggml.${key}`];
  if (id === undefined) return undefined;
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
  invalid(`tokenizer.ggml.${key} is ${String(id)}, but the vocabulary has ${vocabSize} tokens`);
}

/** By id; empty where the file does not say. */
function tokenTypes(metadata: GgufMetadata, names: readonly string[]): readonly unknown[] {
  const types = metadata['tokenizer.ggml.token_type'];
  if (types === undefined) return [];
  if (!Array.isArray(types) || types.length !== names.length) {
    invalid('tokenizer.ggml.token_type has another length than tokenizer.ggml.tokens');
  }
  return types;
}

function addedTokens(names: readonly string[], types: readonly unknown[]): AddedTokenJson[] {
  return names.flatMap((content, id) => {
    const type = types[id];
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
