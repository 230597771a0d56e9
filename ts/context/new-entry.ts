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
  priorityOf,
} from './entry.js';
import { checkMeta, checkName, checkSize, checkStorable, checkTags } from './meta.js';
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
const maxEmojiLength = 32;
/** Of an entry as a caller gives it. */
export const entryInputFields = [
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

/**
 * @param nowMs milliseconds since 1970, for entries that give no time
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PAYLOAD_TOO_LARGE
 */
export function newEntry(input: EntryInput, nowMs: number): NewEntry {
  checkFields('entry', input, entryInputFields);
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
    tags: checkTags('tags', input.tags),
    confidence:
      confidence === undefined || confidence === null
        ? null
        : checkNumber('confidence', confidence, 0, { min: 0, max: 1 }) + 0, // -0 has no place in JSON
    message: checkMessage(input.message),
    meta: checkMeta('meta', input.meta),
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
      // Of a message by itself nobody has made a list.
      const place = items.length > 1 ? `Item ${index} of the list: ` : '';
      throw new StompError(error.code, place + error.message, options);
    }
  });
}

function checkMessage(message: unknown): string {
  if (message === '') refuse('message', message, 'a text that is not empty');
  const text = checkStorable('message', message);
  checkSize('message', Buffer.byteLength(text), maxMessageBytes);
  return text;
}

function checkId(id: unknown): string {
  const fits = typeof id === 'string' && /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,128}$/u.test(id);
  return fits ? id : refuse('id', id, 'a text of 1 to 128 printable characters');
}
