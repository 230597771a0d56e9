/** Checks of the texts and objects that callers add to sessions, projects and entries. */
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Meta, MetaValue } from './entry.js';

const maxMetaBytes = 64 << 10;
const maxMetaDepth = 32;
const maxTags = 64;
const maxNameLength = 128;

// No database keeps the first, and UTF-8 has no place for the second.
const unfit = /\0|\p{Surrogate}/u;

/**
 * A text that every database holds and gives back as it is.
 * @throws StompError INVALID_REQUEST
 */
export function checkStorable(field: string, value: unknown): string {
  if (typeof value !== 'string') refuse(field, value, 'a text');
  if (unfit.test(value)) refuse(field, value, 'a text of Unicode without NUL');
  return value;
}

/** @throws StompError INVALID_REQUEST */
export function checkName(field: string, value: unknown, maxLength = maxNameLength): string {
  const allowed = `a text of 1 to ${maxLength} characters`;
  if (typeof value !== 'string' || value === '' || value.length > maxLength) refuse(field, value, allowed);
  return checkStorable(field, value);
}

/**
 * Short names, each once: a list of texts, or one text with commas between them.
 * @throws StompError INVALID_REQUEST
 */
export function checkTags(field: string, value: unknown): string[] {
  if (value === undefined) return [];
  const list = typeof value === 'string' ? separated(value) : value;
  if (!Array.isArray(list) || list.length > maxTags)
    refuse(field, value, `up to ${maxTags} texts, as a list or separated by commas`);
  return [...new Set(list.map((tag) => checkName(field, tag)))];
}

/**
 * An object of JSON values, 64 KiB at most.
 * @returns a copy of it that is JSON and nothing else
 * @throws StompError INVALID_REQUEST, PAYLOAD_TOO_LARGE
 */
export function checkMeta(field: string, value: unknown): Meta {
  if (value === undefined) return {};
  if (!isPlain(value)) refuse(field, value, 'an object');
  return new JsonCopy(field).of(value, 1) as Meta;
}

/** @throws StompError PAYLOAD_TOO_LARGE */
export function checkSize(field: string, bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new StompError(
    'PAYLOAD_TOO_LARGE',
    `${field} has more than ${maxBytes} bytes. Write it into a file and name that.`,
    { fields: { field, max_bytes: maxBytes } },
  );
}

function separated(tags: string): string[] {
  return tags
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Counts while it copies, so that what is too large or goes in circles is not copied whole. */
class JsonCopy {
  readonly #field: string;
  #bytes = 0;

  constructor(field: string) {
    this.#field = field;
  }

  of(value: unknown, depth: number): MetaValue {
    if (depth > maxMetaDepth) refuse(this.#field, value, `at most ${maxMetaDepth} levels deep`);
    if (Array.isArray(value)) {
      this.#count(2 + value.length);
      return Array.from(value, (item) => this.of(item, depth + 1));
    }
    if (isPlain(value)) return this.#object(value, depth);
    if (!isScalar(value)) refuse(this.#field, value, 'made of JSON values');
    if (typeof value === 'string') checkStorable(this.#field, value);
    this.#count(Buffer.byteLength(JSON.stringify(value)));
    // -0 is no JSON.
    return typeof value === 'number' ? value + 0 : value;
  }

  #object(value: Record<string, unknown>, depth: number): MetaValue {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    this.#count(2);
    // The keys are counted with their marks, and `__proto__` stays a key like any other.
    return Object.fromEntries(
      members.map(([key, member]) => {
        checkStorable(this.#field, key);
        this.#count(Buffer.byteLength(JSON.stringify(key)) + 2);
        return [key, this.of(member, depth + 1)];
      }),
    );
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    checkSize(this.#field, this.#bytes, maxMetaBytes);
  }
}

function isScalar(value: unknown): value is null | boolean | number | string {
  if (typeof value === 'number') return Number.isFinite(value);
  return value === null || typeof value === 'boolean' || typeof value === 'string';
}
