import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activeAt, activityOf } from '../../../ts/reservations/activity.js';
import type { Records } from '../../../ts/reservations/records/store.js';
import type { Amendment, Intent, Reservation } from '../../../ts/reservations/types.js';

const at = (minute: number) => new Date(Date.UTC(2026, 2, 18, 12, minute));

const reservation = (change: Partial<Reservation> = {}): Reservation => ({
  reservationId: 'r1',
  runId: 'a',
  branch: 'main',
  addresses: ['a.py::f'],
  createdAt: at(0),
  expiresAt: at(60),
  operation: null,
  ...change,
});
const intent = (change: Partial<Intent> = {}): Intent => ({
  intentId: 'i1',
  reservationId: 'r1',
  runId: 'a',
  branch: 'main',
  addresses: ['a.py::f'],
  operation: 'modify',
  createdAt: at(10),
  detail: '',
  expiresAt: at(70),
  ...change,
});
let n = 0;
const release = (minute: number, runId = 'a'): Amendment => ({
  id: `x${++n}`,
  kind: 'release',
  reservationId: 'r1',
  runId,
  createdAt: at(minute),
});
const renewal = (minute: number, until: number, runId = 'a'): Amendment => ({
  ...release(minute, runId),
  kind: 'renewal',
  expiresAt: at(until),
});
const records = (change: Partial<Records>): Records => ({
  reservations: [reservation()],
  intents: [intent()],
  amendments: [],
  warnings: [],
  ...change,
});
const active = (given: Records, minute: number) => {
  const { reservations, intents } = activeAt(activityOf(given), at(minute));
  return [reservations.length, intents.length];
};

describe('a reservation', () => {
  it('holds until it expires, and its intents with it', () => {
    expect(active(records({}), 59)).toEqual([1, 1]);
    expect(active(records({}), 60)).toEqual([0, 0]);
    expect(activityOf(records({})).reservations).toHaveLength(1);
  });

  it('that is given back holds no longer, nor do its intents', () => {
    expect(active(records({ amendments: [release(20)] }), 21)).toEqual([0, 0]);
  });

  it('that is renewed holds longer, and so do its intents', () => {
    expect(active(records({ amendments: [renewal(50, 90)] }), 80)).toEqual([1, 1]);
  });

  it('is not shortened by a renewal', () => {
    expect(active(records({ amendments: [renewal(10, 20)] }), 30)).toEqual([1, 1]);
  });

  it('is neither ended nor prolonged by another agent, of which a warning tells', () => {
    const given = records({ amendments: [release(20, 'b'), renewal(20, 90, 'b')] });
    expect(active(given, 30)).toEqual([1, 1]);
    expect(active(given, 61)).toEqual([0, 0]);
    expect(activityOf(given).warnings).toHaveLength(2);
  });
});

describe('an intent', () => {
  it('without a reservation lives for an hour', () => {
    const given = records({ intents: [intent({ reservationId: '' })] });
    expect(active(given, 69)[1]).toBe(1);
    expect(active(given, 70)[1]).toBe(0);
  });
});

it('what holds does not depend on the order of the records', () => {
  const amendment = fc.oneof(
    fc
      .record({ minute: fc.nat(99), run: fc.constantFrom('a', 'b') })
      .map(({ minute, run }) => release(minute, run)),
    fc
      .record({ minute: fc.nat(99), until: fc.nat(200), run: fc.constantFrom('a', 'b') })
      .map(({ minute, until, run }) => renewal(minute, until, run)),
  );
  const shuffled = fc
    .array(amendment, { maxLength: 6 })
    .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })));
  fc.assert(
    fc.property(shuffled, ([one, other]) => {
      const first = activityOf(records({ amendments: one }));
      expect(activityOf(records({ amendments: other }))).toEqual(first);
      const own = one.filter(({ runId }) => runId === 'a');
      const ends = own.map(({ expiresAt }) => expiresAt?.getTime() ?? 0);
      expect(first.reservations[0]?.expiresAt.getTime()).toBe(Math.max(at(60).getTime(), ...ends));
      expect(first.reservations[0]?.releasedAt !== undefined).toBe(
        own.some(({ kind }) => kind === 'release'),
      );
    }),
  );
});
