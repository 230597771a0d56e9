/** What a caller writes into a log, checked and made whole. */
import { randomUUID } from 'node:crypto';
import { checkChoice, checkFields, checkNumber, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import {
  type Entry,
  type EntryPriority,
  type EntryStatus,
  emojiOf,
  entryPriorities,
  entryStatuses,
  type Meta,
  type MetaValue,
  priorityOf,
} from './entry.js';
import { timestampMs } from './timestamp.js';

/** One entry as a caller gives it. */
export interface EntryInput {
  /** At most 64 KiB as UTF-8. */
  readonly message: string;
  /** @default 'info' */
  readonly status?: EntryStatus;
  /** @default that of the status */
  readonly priority?: EntryPriority;
  readonly category?: string | null;
  /** At most 64, as a list or separated by commas. */
  readonly tags?: readonly string[] | string;
  /** From 0 to 1. */
  readonly confidence?: number | null;
  /** JSON, at most 64 KiB of it. */
  readonly meta?: Meta;
  /** @default that of the status */
  readonly emoji?: string;
  /**
   * When it happened: an ISO date-time (UTC unless it names an offset), `YYYY-MM-DD HH:MM:SS UTC`, or milliseconds
   * since 1970. @default now
   */
  readonly timestamp?: string | number;
  /** At most 128 printable characters. An entry with an id that is there already is not written again. */
  readonly id?: string;
}

/** One entry that may be written down. */
export interface NewEntry
  extends Pick<
    Entry,
    'id' | 'ts' | 'status' | 'emoji' | 'priority' | 'category' | 'tags' | 'confidence' | 'message' | 'meta'
  > {
  /** Whether the caller has given the time. */
  readonly timed: boolean;
}

const maxItems = 1000;
const maxMessageBytes = 64 << 10;
const maxMetaBytes = 64 << 10;
const maxMetaDepth = 32;
const maxTags = 64;
const maxNameLength = 128;
const maxEmojiLength = 32;
const fields = [
  'message',
  'status',
  'priority',
  'category',
  'tags',
  'confidence',
  'meta',
  'emoji',
  'timestamp',
  'id',
];

// No database keeps the first, and UTF-8 has no place for the second.
const unfit = /\0|\p{Surrogate}/u;

/**
 * @param nowMs milliseconds since 1970, for entries that give no time
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PAYLOAD_TOO_LARGE
 */
export function newEntry(input: EntryInput, nowMs: number): NewEntry {
  checkFields('entry', input, fields);
  const status = checkChoice('status', input.status, 'info', entryStatuses);
  const { timestamp, id, emoji, category, confidence } = input;
  return {
    id: id === undefined ? randomUUID() : checkId(id),
    ts: timestamp === undefined ? nowMs : timestampMs(timestamp),
    timed: timestamp !== undefined,
    status,
    emoji: emoji === undefined ? emojiOf[status] : checkName('emoji', emoji, maxEmojiLength),
    priority: checkChoice('priority', input.priority, priorityOf[status], entryPriorities),
    category: category === undefined || category === null ? null : checkName('category', category),
    tags: tagsOf(input.tags),
    confidence:
      confidence === undefined || confidence === null
        ? null
        : checkNumber('confidence', confidence, 0, { min: 0, max: 1 }) + 0, // -0 has no place in JSON
    message: checkMessage(input.message),
    meta: checkMeta(input.meta),
  };
}

/**
 * Several at once, as objects or plain messages.
 * @throws StompError as `newEntry`, with the place in the list in the field `index`
 */
export function newEntries(items: readonly (EntryInput | string)[], nowMs: number): NewEntry[] {
  if (!Array.isArray(items) || items.length === 0 || items.length > maxItems) {
    refuse('items', items, `a list of 1 to ${maxItems} entries`);
  }
  return items.map((item: EntryInput | string, index) => {
    try {
      return newEntry(typeof item === 'string' ? { message: item } : item, nowMs);
    } catch (error) {
      if (!(error instanceof StompError)) throw error;
      const options = { fields: { ...error.fields, index }, cause: error };
      throw new StompError(error.code, `Item ${index} of the list: ${error.message}`, options);
    }
  });
}

function checkMessage(message: unknown): string {
  if (typeof message !== 'string' || message === '') refuse('message', message, 'a text');
  checkFit('message', message);
  checkSize('message', Buffer.byteLength(message), maxMessageBytes);
  return message;
}

function checkSize(field: string, bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return;
  throw new StompError(
    'PAYLOAD_TOO_LARGE',
    `${field} has more than ${maxBytes} bytes. Write it into a file and name that.`,
    { fields: { field, max_bytes: maxBytes } },
  );
}

/** @throws StompError INVALID_REQUEST */
function checkFit(field: string, text: string): void {
  if (unfit.test(text)) refuse(field, text, 'a text of Unicode without NUL');
}

/** @throws StompError INVALID_REQUEST */
export function checkName(field: string, value: unknown, maxLength = maxNameLength): string {
  const allowed = `a text of 1 to ${maxLength} characters`;
  if (typeof value !== 'string' || value === '' || value.length > maxLength) refuse(field, value, allowed);
  checkFit(field, value);
  return value;
}

function checkId(id: unknown): string {
  const fits = typeof id === 'string' && /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,128}$/u.test(id);
  return fits ? id : refuse('id', id, `a text of 1 to ${maxNameLength} printable characters`);
}

function tagsOf(tags: unknown): string[] {
  if (tags === undefined) return [];
  const allowed = `up to ${maxTags} texts, as a list or separated by commas`;
  const list = typeof tags === 'string' ? separated(tags) : tags;
  if (!Array.isArray(list) || list.length > maxTags) return refuse('tags', tags, allowed);
  return [...new Set(list.map((tag) => checkName('tags', tag)))];
}

function separated(tags: string): string[] {
  return tags
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

/** A copy of it that is JSON and nothing else. */
function checkMeta(meta: unknown): Meta {
  if (meta === undefined) return {};
  if (!isPlain(meta)) refuse('meta', meta, 'an object');
  return new JsonCopy().of(meta, 1) as Meta;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Counts while it copies, so that what is too large or goes in circles is not copied whole. */
class JsonCopy {
  #bytes = 0;

  of(value: unknown, depth: number): MetaValue {
    if (depth > maxMetaDepth) refuse('meta', value, `at most ${maxMetaDepth} levels deep`);
    if (Array.isArray(value)) {
      this.#count(2 + value.length);
      return Array.from(value, (item) => this.of(item, depth + 1));
    }
    if (isPlain(value)) return this.#object(value, depth);
    if (!isScalar(value)) return refuse('meta', value, 'made of JSON values');
    if (typeof value === 'string') checkFit('meta', value);
    this.#count(Buffer.byteLength(JSON.stringify(value)));
    return typeof value === 'number' ? value + 0 : value;
  }

  #object(value: Record<string, unknown>, depth: number): MetaValue {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    this.#count(2);
    // The keys are counted with their marks, and `__proto__` stays a key like any other.
    return Object.fromEntries(
      members.map(([key, member]) => {
        checkFit('meta', key);
        this.#count(Buffer.byteLength(JSON.stringify(key)) + 2);
        return [key, this.of(member, depth + 1)];
      }),
    );
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    checkSize('meta', this.#bytes, maxMetaBytes);
  }
}

function isScalar(value: unknown): value is null | boolean | number | string {
  if (typeof value === 'number') return Number.isFinite(value);
  return value === null || typeof value === 'boolean' || typeof value === 'string';
}
