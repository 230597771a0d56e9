/** Checks of the texts and objects that callers add to sessions, projects and entries. */
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Meta, MetaValue } from './entry.js';

const maxDepth = 16;

/**
 * A text that every database holds and gives back as it is.
 * @throws StompError INVALID_REQUEST
 */
export function checkStorable(field: string, value: unknown): string {
  if (typeof value !== 'string') refuse(field, value, 'a text');
  if (value.includes('\0')) refuse(field, value, 'a text without NUL characters');
  if (!isWellFormed(value))
    refuse(field, value, 'well-formed Unicode: half of a surrogate pair stands alone');
  return value;
}

/**
 * An object of JSON values; null and undefined are an empty one.
 * @returns a copy of it, as JSON would give it back
 * @throws StompError INVALID_REQUEST, PAYLOAD_TOO_LARGE
 */
export function checkMeta(field: string, value: unknown, maxBytes = 64 << 10): Meta {
  if (value === undefined || value === null) return {};
  if (!isPlain(value)) refuse(field, value, 'an object');
  const copy = copyOf(field, value, 0) as Meta;
  const bytes = Buffer.byteLength(JSON.stringify(copy));
  if (bytes > maxBytes) {
    throw new StompError('PAYLOAD_TOO_LARGE', `${field} has ${bytes} bytes; ${maxBytes} are allowed.`, {
      fields: { field, bytes, max_bytes: maxBytes },
    });
  }
  return copy;
}

/**
 * Short names, each once: a list of texts, or one text with commas between them.
 * @throws StompError INVALID_REQUEST
 */
export function checkTags(field: string, value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  const list: unknown = typeof value === 'string' ? value.split(',') : value;
  if (!Array.isArray(list) || list.length > 64) refuse(field, value, 'a list of at most 64 texts');
  const tags = list.map((tag) => checkStorable(field, tag).trim()).filter((tag) => tag !== '');
  const long = tags.find((tag) => tag.length > 128);
  if (long !== undefined) refuse(field, long, 'a list of texts of at most 128 characters');
  return [...new Set(tags)];
}

function copyOf(field: string, value: unknown, depth: number): MetaValue {
  if (depth > maxDepth) refuse(field, value, `at most ${maxDepth} levels deep`);
  if (Array.isArray(value)) return value.map((entry) => copyOf(field, entry, depth + 1));
  if (!isPlain(value)) return scalar(field, value);
  const copy = Object.create(null) as Record<string, MetaValue>;
  for (const [key, entry] of Object.entries(value)) {
    if (entry === undefined) continue;
    copy[checkStorable(field, key)] = copyOf(`${field}.${key.slice(0, 64)}`, entry, depth + 1);
  }
  return { ...copy };
}

function scalar(field: string, value: unknown): MetaValue {
  if (typeof value === 'string') return checkStorable(field, value);
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value; // -0 is no JSON
  refuse(field, value, 'made of texts, numbers, true, false, null, lists and objects');
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
