/**
 * The text side of a model folder: tokenizer.json, tokenizer_config.json and the chat template. The files are
 * hostile input: everything read is checked.
 */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import { knownMarkers, type TextParts } from './text-parts.js';
import type { AddedTokenJson, TokenizerJson } from './tokenizer.js';

/** Larger ones are not tokenizers. */
const maxJsonBytes = 128 * 1024 * 1024;
const maxVocab = 1 << 22;

/**
 * Tokenizer and template of a model folder.
 * @throws StompError MODEL_INVALID, MODEL_UNSUPPORTED
 */
export async function folderTextParts(folder: string): Promise<TextParts> {
  const json = checkTokenizerJson(await readJson(folder, 'tokenizer.json'));
  const config = existsSync(join(folder, 'tokenizer_config.json'))
    ? asObject(await readJson(folder, 'tokenizer_config.json'))
    : {};
  const names = knownMarkers({
    bos_token: markerText(config['bos_token']),
    eos_token: markerText(config['eos_token']),
    pad_token: markerText(config['pad_token']),
    unk_token: markerText(config['unk_token']),
  });
  return {
    json,
    bosIds: folderBosIds(json, config['add_bos_token'] === true ? names['bos_token'] : undefined),
    markers: names,
    template: (await templateFile(folder)) ?? templateOf(config['chat_template']),
  };
}

async function readJson(folder: string, name: string): Promise<unknown> {
  const path = join(folder, name);
  if (!existsSync(path)) {
    throw new StompError('MODEL_INVALID', `${folder} has no ${name}; a model folder needs one.`, {
      fields: { path },
    });
  }
  if ((await stat(path)).size > maxJsonBytes) invalid(path, `it is larger than ${maxJsonBytes} bytes`);
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    return invalid(path, cause instanceof Error ? cause.message : String(cause));
  }
}

async function templateFile(folder: string): Promise<string | undefined> {
  const path = join(folder, 'chat_template.jinja');
  return existsSync(path) ? readFile(path, 'utf8') : undefined;
}

/** One template, or the one called `default` among several. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.map(asObject).find((one) => one['name'] === 'default');
  return typeof named?.['template'] === 'string' ? named['template'] : undefined;
}

/** A marker is written as its text or as an object that holds it. */
function markerText(value: unknown): string | undefined {
  const text = typeof value === 'object' && value !== null ? asObject(value)['content'] : value;
  return typeof text === 'string' ? text : undefined;
}

/**
 * What the post-processor puts before a single text; else the begin marker, where the configuration asks
 * for it.
 */
function folderBosIds(json: TokenizerJson, begin: string | undefined): number[] {
  const idOf = (name: string) =>
    json.added_tokens.find((token) => token.content === name)?.id ?? json.model.vocab[name];
  const names = markersBefore(json.post_processor);
  const wanted = names.length > 0 || begin === undefined ? names : [begin];
  return wanted.map(idOf).filter((id) => id !== undefined);
}

function markersBefore(processor: unknown): string[] {
  const { type, single, processors } = asObject(processor);
  if (type === 'Sequence' && Array.isArray(processors)) return processors.flatMap(markersBefore);
  if (type !== 'TemplateProcessing' || !Array.isArray(single)) return [];
  const parts = single.map(asObject);
  const text = parts.findIndex((part) => 'Sequence' in part);
  return parts.slice(0, Math.max(0, text)).flatMap((part) => {
    const { id } = asObject(part['SpecialToken']);
    return typeof id === 'string' ? [id] : [];
  });
}

function checkTokenizerJson(value: unknown): TokenizerJson {
  const { model, added_tokens, ...rest } = asObject(value);
  const { type, vocab, merges } = asObject(model);
  if ((type !== undefined && type !== 'BPE') || !Array.isArray(merges)) {
    throw new StompError(
      'MODEL_UNSUPPORTED',
      `The model's tokenizer is of type ${JSON.stringify(type)}, which is not supported yet. Supported: BPE.`,
      { fields: { tokenizer: type, supported: ['BPE'] } },
    );
  }
  const added = Array.isArray(added_tokens) ? added_tokens.map(checkAddedToken) : [];
  const ids = Object.values(asObject(vocab));
  if (ids.length === 0 || !ids.every(isTokenId))
    invalid('tokenizer.json', 'its vocabulary is empty or damaged');
  return {
    model: asObject(model) as TokenizerJson['model'],
    added_tokens: added,
    normalizer: rest['normalizer'] ?? null,
    pre_tokenizer: withAllDigits(rest['pre_tokenizer'] ?? null),
    post_processor: rest['post_processor'] ?? null,
    decoder: rest['decoder'] ?? null,
  };
}

// The encoder takes only decimal digits for digits; the format means every numeric character, such as `½`.
function withAllDigits(component: unknown): unknown {
  const { type, pretokenizers, individual_digits } = asObject(component);
  if (type === 'Sequence' && Array.isArray(pretokenizers)) {
    return { ...asObject(component), pretokenizers: pretokenizers.map(withAllDigits) };
  }
  if (type !== 'Digits') return component;
  const pattern = { Regex: individual_digits === true ? '\\p{N}' : '\\p{N}+' };
  return { type: 'Split', pattern, behavior: 'Isolated', invert: false };
}

function checkAddedToken(value: unknown): AddedTokenJson {
  const token = asObject(value);
  if (!isTokenId(token['id']) || typeof token['content'] !== 'string') {
    invalid('tokenizer.json', 'an added token has no id or content');
  }
  return token as unknown as AddedTokenJson;
}

function isTokenId(id: unknown): boolean {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) < maxVocab;
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function invalid(path: string, reason: string): never {
  throw new StompError('MODEL_INVALID', `${path} cannot be read: ${reason}.`, { fields: { path } });
}
