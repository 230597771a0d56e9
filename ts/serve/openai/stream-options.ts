/** `stream` and `stream_options`, which all of OpenAI's completions share. */
import { randomBytes } from 'node:crypto';
import { Fields } from '../fields.js';

export interface StreamOptions {
  readonly stream: boolean;
  /** A last chunk with the usage, and `usage: null` on those before. */
  readonly includeUsage: boolean;
  /** Chunks are filled up with random characters, so that their sizes do not tell their tokens. */
  readonly obfuscate: boolean;
}

/** Chunks are filled up to a multiple of this many characters of JSON. */
const OBFUSCATED_SIZE = 128;

/** @throws StompError INVALID_REQUEST */
export function readStreamOptions(fields: Fields): StreamOptions {
  const stream = fields.flag('stream') ?? false;
  const raw = fields.raw('stream_options');
  if (raw === undefined) return { stream, includeUsage: false, obfuscate: false };
  if (!stream) throw fields.invalid('stream_options', raw, 'left out unless "stream" is true');
  const inner = new Fields(raw, fields.name('stream_options'));
  const includeUsage = inner.flag('include_usage') ?? false;
  const obfuscate = inner.flag('include_obfuscation') ?? false;
  inner.end();
  return { stream, includeUsage, obfuscate };
}

/** `chunk` with its filling. */
export function obfuscated(chunk: object): object {
  const size = JSON.stringify({ ...chunk, obfuscation: '' }).length;
  const missing = (OBFUSCATED_SIZE - (size % OBFUSCATED_SIZE)) % OBFUSCATED_SIZE;
  return { ...chunk, obfuscation: randomBytes(missing).toString('base64url').slice(0, missing) };
}
