import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emojiOf, entryStatuses, type Meta, priorityOf } from '../../../ts/context/entry.js';
import { type EntryInput, newEntries, newEntry } from '../../../ts/context/new-entry.js';
import type { StompError } from '../../../ts/errors.js';

const now = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function refusal(call: () => unknown): StompError {
  try {
    call();
  } catch (error) {
    return error as StompError;
  }
  throw new Error('it was not refused');
}
const refused = (input: Partial<Record<keyof EntryInput, unknown>>) =>
  refusal(() => newEntry({ message: 'm', ...input } as EntryInput, now));

describe('a new entry', () => {
  it('needs only a message', () => {
    expect(newEntry({ message: 'm' }, now)).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      ts: now,
      timed: false,
      status: 'info',
      emoji: emojiOf.info,
      priority: 'low',
      category: null,
      tags: [],
      confidence: null,
      message: 'm',
      meta: {},
    });
  });

  it.each(entryStatuses)('of status %s has its emoji and priority unless it says others', (status) => {
    expect(newEntry({ message: 'm', status }, now)).toMatchObject({
      emoji: emojiOf[status],
      priority: priorityOf[status],
    });
    expect(newEntry({ message: 'm', status, emoji: '🎉', priority: 'critical' }, now)).toMatchObject({
      emoji: '🎉',
      priority: 'critical',
    });
  });

  it('is refused with an unknown status, and told those that there are', () => {
    const { code, message } = refused({ status: 'done' });
    expect(code).toBe('INVALID_REQUEST');
    for (const status of entryStatuses) expect(message).toContain(status);
  });

  it.each<[string, Partial<Record<keyof EntryInput, unknown>>, string]>([
    ['without a message', { message: undefined }, 'message'],
    ['with an empty message', { message: '' }, 'message'],
    ['with NUL', { message: 'a\0b' }, 'message'],
    ['with half a character', { message: 'a\ud800b' }, 'message'],
    ['with an odd priority', { priority: 'urgent' }, 'priority'],
    ['with more than certainty', { confidence: 1.1 }, 'confidence'],
    ['with no number for confidence', { confidence: Number.NaN }, 'confidence'],
    ['with an empty category', { category: '' }, 'category'],
    ['with too many tags', { tags: Array.from({ length: 65 }, String) }, 'tags'],
    ['with a tag that is none', { tags: [1] }, 'tags'],
    ['with an empty emoji', { emoji: '' }, 'emoji'],
    ['with an id of two lines', { id: 'a\nb' }, 'id'],
    ['with a long id', { id: 'x'.repeat(129) }, 'id'],
    ['with meta that is a list', { meta: [] }, 'meta'],
    ['with meta that is a date', { meta: new Date() }, 'meta'],
    ['with a date in meta', { meta: { at: new Date() } }, 'meta'],
    ['with a big integer in meta', { meta: { n: 1n } }, 'meta'],
    ['with infinity in meta', { meta: { n: Number.POSITIVE_INFINITY } }, 'meta'],
    ['with a hole in a list of meta', { meta: { list: new Array(2) } }, 'meta'],
    ['with NUL in meta', { meta: { a: '\0' } }, 'meta'],
    ['with half a character in a key', { meta: { '\udc00': 1 } }, 'meta'],
  ])('is refused %s', (_, input, field) => {
    expect(refused(input)).toMatchObject({ code: 'INVALID_REQUEST', fields: { field } });
  });

  it('is refused with a field that nobody knows', () => {
    const input = { message: 'm', sattus: 'bug' } as EntryInput;
    expect(refusal(() => newEntry(input, now))).toMatchObject({ code: 'UNSUPPORTED_FIELD' });
  });

  it('may be 64 KiB long, counted as UTF-8', () => {
    expect(newEntry({ message: 'x'.repeat(65_536) }, now).message).toHaveLength(65_536);
    expect(newEntry({ message: '€'.repeat(21_845) }, now).message).toHaveLength(21_845);
    expect(refused({ message: 'x'.repeat(65_537) }).code).toBe('PAYLOAD_TOO_LARGE');
    expect(refused({ message: '€'.repeat(21_846) }).code).toBe('PAYLOAD_TOO_LARGE');
    expect(refused({ meta: { text: 'x'.repeat(65_536) } }).code).toBe('PAYLOAD_TOO_LARGE');
  });

  it('takes tags as a list or separated by commas, each once', () => {
    expect(newEntry({ message: 'm', tags: ' a, b,,a ' }, now).tags).toEqual(['a', 'b']);
    expect(newEntry({ message: 'm', tags: ['a, b', 'c', 'c'] }, now).tags).toEqual(['a, b', 'c']);
  });

  it('has any JSON as meta, as it was', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), (given) => {
        const meta = JSON.parse(JSON.stringify(given)) as Meta;
        fc.pre(Buffer.byteLength(JSON.stringify(meta)) < 32_768 && depth(meta) < 30);
        fc.pre(!/\\u0000/.test(JSON.stringify(meta)));
        expect(JSON.stringify(newEntry({ message: 'm', meta }, now).meta)).toBe(JSON.stringify(meta));
      }),
    );
  });

  it('refuses meta that goes in circles or grows without end', () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    expect(refused({ meta: circle }).code).toBe('INVALID_REQUEST');
    let wide: unknown = 'x';
    for (let i = 0; i < 30; i++) wide = [wide, wide];
    expect(refused({ meta: { wide } }).code).toBe('PAYLOAD_TOO_LARGE');
  });

  it('leaves out members of meta that are undefined, as JSON does', () => {
    const meta = { a: undefined, b: 1 } as unknown as Meta;
    expect(newEntry({ message: 'm', meta }, now).meta).toEqual({ b: 1 });
  });
});

function depth(value: unknown): number {
  return typeof value === 'object' && value !== null
    ? 1 + Math.max(0, ...Object.values(value).map(depth))
    : 0;
}

describe('the time of an entry', () => {
  const at = Date.UTC(2025, 9, 24, 17, 42, 0);

  it.each([
    ['2025-10-24 17:42:00 UTC', at],
    ['2025-10-24 17:42 UTC', at],
    ['2025-10-24T17:42:00Z', at],
    ['2025-10-24T17:42:00', at],
    ['2025-10-24T19:42:00+02:00', at],
    ['2025-10-24T12:12:00.250-0530', at + 250],
    ['2025-10-24T17:42:00.123456Z', at + 123],
    [at, at],
    [0, 0],
  ])('may be %s', (timestamp, ms) => {
    expect(newEntry({ message: 'm', timestamp }, now)).toMatchObject({ ts: ms, timed: true });
  });

  it.each([
    'yesterday',
    '2025-10-24',
    '2025-02-30 00:00:00 UTC',
    '2025-13-01T00:00:00Z',
    '2025-10-24T24:00:00Z',
    '2025-10-24T17:60:00Z',
    '2025-10-24T17:42:00+25:00',
    '0000-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    -1,
    1.5,
    Number.NaN,
    8.64e15,
    null,
    {},
  ])('may not be %s', (timestamp) => {
    expect(refused({ timestamp })).toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field: 'timestamp' },
    });
  });
});

describe('several entries at once', () => {
  it('may be texts or objects', () => {
    const items = newEntries(['a', { message: 'b', status: 'bug' }], now);
    expect(items.map(({ message, status }) => [message, status])).toEqual([
      ['a', 'info'],
      ['b', 'bug'],
    ]);
    expect(items[0]?.id).not.toBe(items[1]?.id);
  });

  it('are refused for one that is wrong, which is named', () => {
    const error = refusal(() => newEntries(['a', { message: '' }], now));
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', fields: { field: 'message', index: 1 } });
    expect(error.message).toContain('Item 1');
  });

  it('are 1 to 1000', () => {
    expect(refusal(() => newEntries([], now)).code).toBe('INVALID_REQUEST');
    expect(refusal(() => newEntries(Array(1001).fill('x'), now)).code).toBe('INVALID_REQUEST');
    expect(refusal(() => newEntries('x' as never, now)).code).toBe('INVALID_REQUEST');
    expect(newEntries(Array(1000).fill('x'), now)).toHaveLength(1000);
  });
});
