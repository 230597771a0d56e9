import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type EntryPriority,
  type EntryStatus,
  entryPriorities,
  entryStatuses,
  type Meta,
} from '../../../ts/context/entry.js';
import { formatLine, type LineEntry, parseLine } from '../../../ts/context/line.js';

const plain: LineEntry = {
  id: 'e-1',
  project: 'apollo',
  line: 7,
  ts: Date.UTC(2026, 1, 3, 4, 5, 6),
  agent: 'ann',
  session_id: 's-1',
  status: 'success',
  emoji: '✅',
  priority: 'medium',
  category: null,
  tags: [],
  confidence: null,
  message: 'It works',
  meta: {},
  token: '12',
};

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({
    unit: fc.constantFrom(
      ...'|;=[]\\@ "{}nrtu0128-\n\r\t\v\f\0\u0085\u2028\u2029\u001c\u007f',
      'true',
      'null',
    ),
  }),
);
const json = fc.jsonValue({ stringUnit: 'binary' });
const meta = fc
  .dictionary(text, fc.oneof(text, json), { noNullPrototype: true })
  .map((value) => JSON.parse(JSON.stringify(value)) as Meta);
const entries: fc.Arbitrary<LineEntry> = fc.record(
  {
    id: text,
    project: text,
    line: fc.integer({ min: 1 }),
    ts: fc.integer({ min: 0, max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) }),
    agent: text,
    session_id: fc.option(text),
    status: fc.constantFrom<EntryStatus>(...entryStatuses),
    emoji: fc.oneof(text, fc.constantFrom('✅', 'ℹ️', '🐞')),
    priority: fc.constantFrom<EntryPriority>(...entryPriorities),
    category: fc.option(text),
    tags: fc.array(text),
    confidence: fc.option(fc.double({ min: 0, max: 1, noNaN: true }).map((value) => value + 0)),
    message: text,
    meta,
    token: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String),
  },
  { noNullPrototype: true },
);

// What any program might take for the end of a line.
const lineEnds = /[\p{Cc}\u2028\u2029]/u;

describe('a line of a progress log', () => {
  it('shows status, time, agent, project, message and what comes with it', () => {
    expect(formatLine({ ...plain, meta: { tests: 12, by: 'hand' }, tags: ['ci'], confidence: 0.5 })).toBe(
      '[✅] [2026-02-03 04:05:06 UTC] [Agent: ann] [Project: apollo] It works | ' +
        'tests=12; by=hand; @id=e-1; @line=7; @session=s-1; @priority=medium; @tags=["ci"]; @confidence=0.5; @token=12',
    );
  });

  it('gives every entry back as it was, and is one line whatever is in it', () => {
    fc.assert(
      fc.property(entries, (entry) => {
        const line = formatLine(entry);
        expect(line).not.toMatch(lineEnds);
        const back = parseLine(Buffer.from(line).toString());
        expect(back).toStrictEqual(entry);
        expect(Object.keys(back.meta)).toEqual(Object.keys(entry.meta));
      }),
      { numRuns: 1000 },
    );
  });

  it('is another line for another entry', () => {
    fc.assert(
      fc.property(entries, entries, (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        expect(formatLine(a)).not.toBe(formatLine(b));
      }),
    );
  });

  it.each([
    ['a pipe', 'a | b'],
    ['a semicolon', 'a; b=c'],
    ['a line break', 'first\nsecond\r\nthird'],
    ['the word example', 'an example'],
    ['what looks like an escape', '\\n \\u0000 \\\\|'],
    ['what looks like the rest of a line', 'x | @id=y; @line=9'],
    ['spaces at both ends', '  x  '],
  ])('keeps a message with %s', (_, message) => {
    expect(parseLine(formatLine({ ...plain, message }))).toEqual({ ...plain, message });
  });

  it('tells texts from what they look like', () => {
    const meta = {
      a: '12',
      b: 12,
      c: 'true',
      d: true,
      e: 'null',
      f: null,
      g: '',
      h: ' 1',
      i: '{"x":1}',
      j: { x: 1 },
    };
    expect(parseLine(formatLine({ ...plain, meta })).meta).toStrictEqual(meta);
  });

  it('does not mistake fields of the caller for its own', () => {
    const meta = { '@id': 'other', '@line': 1, '\\@x': 2 };
    expect(parseLine(formatLine({ ...plain, meta }))).toEqual({ ...plain, meta });
  });

  it('keeps a key that objects otherwise treat in their own way', () => {
    const meta = JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}');
    const back = parseLine(formatLine({ ...plain, meta })).meta;
    expect(JSON.stringify(back)).toBe(JSON.stringify(meta));
  });

  it('says the status only where the emoji does not', () => {
    expect(formatLine(plain)).not.toContain('@status');
    expect(formatLine({ ...plain, emoji: '🎉' })).toContain('@status=success');
    expect(parseLine(formatLine({ ...plain, emoji: '✅', status: 'bug' })).status).toBe('bug');
  });

  it('is refused when anything in it was changed into what nobody writes', () => {
    const line = formatLine(plain);
    for (const broken of [
      '',
      'hello',
      line.slice(0, -1),
      line.slice(0, 30),
      `${line}; @x=1`,
      line.replace('2026-02-03', '2026-02-31'),
      line.replace('@line=7', '@line=07'),
      line.replace('@token=12', ''),
      line.replace('@priority=medium', '@priority=odd'),
      line.replace('@priority', '@status=odd; @priority'),
      line.replace('It', '\\It'),
      `${line} `,
    ]) {
      // A line that is cut behind a digit is still one, with another token.
      if (broken === line.slice(0, -1)) expect(parseLine(broken).token).toBe('1');
      else expect(() => parseLine(broken)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    }
  });
});
