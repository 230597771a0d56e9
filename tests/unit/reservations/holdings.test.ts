/** Who stands in whose way. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { holdingsOf } from '../../../ts/reservations/holdings.js';
import { addressOf, overlaps } from '../../../ts/reservations/symbols/address.js';
import type { Reservation } from '../../../ts/reservations/types.js';

const names = ['', 'A', 'A.b', 'A.b.c', 'A.bc', 'AB', 'import::A', 'import::A.b', 'import', 'A..b', '.b'];
const address = fc
  .record({ path: fc.constantFrom('a.py', 'a', 'b/a.py'), name: fc.constantFrom(...names) })
  .map(({ path, name }) => addressOf(path, name));
const addresses = fc.uniqueArray(address, { minLength: 1, maxLength: 6 });

function held(runId: string, list: readonly string[]): Reservation {
  return {
    reservationId: `of ${runId}`,
    runId,
    branch: 'main',
    addresses: list,
    createdAt: new Date(0),
    expiresAt: new Date(1),
    operation: null,
  };
}

it('all that overlap are found, in the order in which they are wanted', () => {
  fc.assert(
    fc.property(addresses, addresses, (wanted, taken) => {
      const found = holdingsOf(wanted, [held('ann', taken)], undefined);
      const expected = wanted.flatMap((one) =>
        taken.flatMap((other) => {
          const overlap = overlaps(one, other);
          return overlap ? [[one, other, overlap]] : [];
        }),
      );
      expect(found.map((it) => [it.address, it.heldAddress, it.overlap])).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
});

it('a thousand symbols are held against a thousand reservations of a thousand others at once', () => {
  const many = (prefix: string) => Array.from({ length: 1000 }, (_, i) => `src/a.py::${prefix}${i}.f`);
  const taken = many('Held');
  const all = Array.from({ length: 1000 }, (_, i) => held(`run ${i}`, taken));
  const began = performance.now();
  expect(holdingsOf(many('Wanted'), all, undefined)).toEqual([]);
  // Each against each would be a thousand million comparisons.
  expect(performance.now() - began).toBeLessThan(10_000);
});
