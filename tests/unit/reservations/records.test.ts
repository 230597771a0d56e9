import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isoTime, timeOf } from '../../../ts/reservations/records/iso-time.js';
import { idOf, readRecord, recordText, type StoredRecord } from '../../../ts/reservations/records/records.js';
import { stored } from './arbitraries.js';

const id = '7f0c1a52-9f0a-4a55-8c55-1d0a6f1b2c3d';
const fields = {
  schema_version: 1,
  reservation_id: id,
  run_id: 'agent-1',
  branch: 'feat/billing',
  addresses: ['src/billing.py::compute_total'],
  created_at: '2026-03-18T12:00:00+00:00',
  expires_at: '2026-03-18T13:00:00+00:00',
  operation: 'rename',
};

const read = (change: object) => readRecord('reservations', id, JSON.stringify({ ...fields, ...change }));

describe('a record', () => {
  it('comes back as it was written', () => {
    fc.assert(
      fc.property(stored, (given) => {
        const back = readRecord(given.kind, idOf(given), recordText(given));
        expect(back).toEqual({ ...given, notes: [] });
      }),
    );
  });

  it('is written byte by byte as the original of the schema writes it', () => {
    const folder = new URL('../../fixtures/reservations/', import.meta.url);
    for (const kind of ['reservations', 'intents'] as const) {
      const golden = readFileSync(new URL(`${kind}.json`, folder), 'utf8');
      const own = idInGolden(kind, golden);
      const back = readRecord(kind, own, golden);
      if (typeof back === 'string') throw new Error(back);
      expect(recordText(back as StoredRecord)).toBe(golden);
    }
  });

  it('may be of the original schema, with nothing added', () => {
    expect(read({})).toMatchObject({
      notes: [],
      record: {
        reservationId: id,
        runId: 'agent-1',
        branch: 'feat/billing',
        createdAt: new Date('2026-03-18T12:00:00Z'),
        expiresAt: new Date('2026-03-18T13:00:00Z'),
        operation: 'rename',
      },
    });
  });

  it('may have fields that are not known here', () => {
    expect(read({ later: { a: 1 } })).toMatchObject({ notes: [] });
  });

  it.each([
    ['no branch', { branch: undefined }, { branch: '' }],
    ['no operation', { operation: undefined }, { operation: null }],
    ['an empty operation', { operation: '' }, { operation: null }],
    ['no schema version', { schema_version: undefined }, { runId: 'agent-1' }],
    [
      'addresses that are not normal',
      { addresses: ['./src//a.py::f', '../b.py', '/c.py'] },
      { addresses: ['src/a.py::f', '../b.py', '/c.py'] },
    ],
    ['no addresses in their list', { addresses: [] }, { addresses: [] }],
  ])('with %s is read, as the original does', (_, change, expected) => {
    expect(read(change)).toMatchObject({ record: expected, notes: [] });
  });

  it.each([
    ['operation', { operation: 'explode' }, { operation: null }],
    ['leases', { leases: { a: 'x' } }, { reservationId: id }],
  ])('with an unusable %s is read without it, and says so', (field, change, expected) => {
    expect(read(change)).toMatchObject({
      record: expected,
      notes: [expect.stringContaining(field)],
    });
  });

  it.each([
    [{ schema_version: 2 }, 'later schema version 2'],
    [{ schema_version: '1' }, 'schema_version'],
    [{ schema_version: 0 }, 'schema_version'],
    [{ run_id: undefined }, 'run_id is missing'],
    [{ run_id: '' }, 'run_id is missing'],
    [{ run_id: 7 }, 'run_id'],
    [{ run_id: 'a\u001b[31m' }, 'run_id'],
    [{ branch: ['main'] }, 'branch'],
    [{ addresses: undefined }, 'addresses is missing'],
    [{ addresses: 'a.py::f' }, 'addresses is no list'],
    [{ addresses: ['a.py::f', 7] }, 'addresses[1]'],
    [{ addresses: ['a.py::f\u0007'] }, 'addresses[0]'],
    [{ addresses: Array(1001).fill('a') }, 'more than 1000'],
    [{ created_at: '2026-03-18T12:00:00' }, 'created_at has no offset'],
    [{ created_at: undefined }, 'created_at is missing'],
    [{ expires_at: '' }, 'expires_at is missing'],
    [{ expires_at: '2026-03-18' }, 'expires_at has no time of day'],
    [{ expires_at: 'soon' }, 'expires_at is no ISO date-time'],
    [{ expires_at: '2026-02-30T12:00:00+00:00' }, 'expires_at is a time that there is not'],
    [{ expires_at: '2026-03-18T12:00:00+25:00' }, 'expires_at is a time that there is not'],
    [{ expires_at: 1773835200 }, 'expires_at is no text'],
    [{ reservation_id: undefined }, 'reservation_id is missing'],
    [{ reservation_id: 'other' }, 'its name is not its reservation_id'],
  ])('with %j is not used, and says why: %s', (change, reason) => {
    expect(read(change)).toEqual(expect.stringContaining(reason));
  });

  it.each([
    ['null', 'null'],
    ['[]', 'list'],
    ['7', 'number'],
    ['"text"', 'string'],
    ['', 'empty'],
    [JSON.stringify(fields).slice(0, -20), 'no JSON'],
    ['['.repeat(500_000), 'no JSON'],
  ])('that is %.40s is not used, and says why: %s', (text, reason) => {
    expect(readRecord('reservations', id, text)).toEqual(expect.stringContaining(reason));
  });

  it('of an intent must say what will be done', () => {
    const intent = { ...fields, intent_id: id, detail: '' };
    expect(readRecord('intents', id, JSON.stringify({ ...intent, operation: 'explode' }))).toContain(
      'operation',
    );
    expect(readRecord('intents', id, JSON.stringify({ ...intent, operation: null }))).toContain('operation');
    expect(readRecord('intents', id, JSON.stringify({ ...intent, detail: 'a\u001b[2J' }))).toContain(
      'detail',
    );
  });

  it('never breaks its reader, whatever it holds', () => {
    const some = fc.dictionary(fc.constantFrom(...Object.keys(fields)), fc.jsonValue());
    fc.assert(
      fc.property(
        fc.constantFrom('reservations', 'intents', 'releases', 'renewals'),
        some,
        (kind, change) => {
          const back = readRecord(kind, id, JSON.stringify({ ...fields, ...change }));
          expect(typeof back === 'string' ? back : back.kind).not.toBe('');
        },
      ),
    );
  });
});

describe('a time', () => {
  it.each([
    ['2026-03-18T12:00:00+00:00', '2026-03-18T12:00:00.000Z'],
    ['2026-03-18T12:00:00.123456+00:00', '2026-03-18T12:00:00.123Z'],
    ['2026-03-18 12:00:00+05:30', '2026-03-18T06:30:00.000Z'],
    ['2026-03-18T12:00:00.5-08:00', '2026-03-18T20:00:00.500Z'],
    ['2026-03-18T12:00Z', '2026-03-18T12:00:00.000Z'],
    ['0001-01-01T00:00:00+00:00', '0001-01-01T00:00:00.000Z'],
  ])('%s is read', (text, expected) => {
    expect(timeOf(text)).toEqual(new Date(expected));
  });

  it.each(['0000-01-01T00:00:00+00:00', '9999-12-31T23:59:59-01:00', '2026-13-01T00:00:00+00:00'])(
    '%s is none',
    (text) => expect(timeOf(text)).toBeTypeOf('string'),
  );

  it('is written with all six digits of a fraction, or none', () => {
    expect(isoTime(new Date('2026-03-18T12:00:00.120Z'))).toBe('2026-03-18T12:00:00.120000+00:00');
    expect(isoTime(new Date('2026-03-18T12:00:00.000Z'))).toBe('2026-03-18T12:00:00+00:00');
  });
});

function idInGolden(kind: 'reservations' | 'intents', text: string): string {
  const field = kind === 'intents' ? 'intent_id' : 'reservation_id';
  return String((JSON.parse(text) as Record<string, unknown>)[field]);
}
