/** Records as fast-check makes them. */
import fc from 'fast-check';
import type { StoredRecord } from '../../../ts/reservations/records/records.js';
import { isLine } from '../../../ts/reservations/symbols/given-address.js';
import { type Amendment, type Intent, operations, type Reservation } from '../../../ts/reservations/types.js';

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((it) => isLine(it, 256));
const time = fc.date({
  min: new Date('0002-01-01T00:00:00Z'),
  max: new Date('9998-01-01T00:00:00Z'),
  noInvalidDate: true,
});
const addresses = fc.array(
  name.map((it) => `src/a.py::${it}`),
  { maxLength: 4 },
);
const operation = fc.constantFrom(...operations);

export const reservation: fc.Arbitrary<Reservation> = fc
  .record({
    reservationId: fc.uuid(),
    runId: name,
    branch: name,
    addresses,
    createdAt: time,
    expiresAt: time,
    operation: fc.option(operation),
    leases: fc.option(fc.dictionary(name, fc.integer({ min: 1 })), { nil: undefined }),
  })
  .map(({ leases, ...rest }) => ({ ...rest, ...(leases && { leases }) }));

export const intent: fc.Arbitrary<Intent> = fc
  .record({
    intentId: fc.uuid(),
    reservationId: fc.uuid(),
    runId: name,
    branch: name,
    addresses,
    operation,
    createdAt: time,
    detail: fc.string().filter((it) => !/\p{Cc}/u.test(it)),
  })
  .map((it) => ({ ...it, expiresAt: new Date(it.createdAt.getTime() + 3600_000) }));

const amended = { id: fc.uuid(), reservationId: fc.uuid(), runId: name, createdAt: time };
const release: fc.Arbitrary<Amendment> = fc.record({ ...amended, kind: fc.constant('release' as const) });
const renewal: fc.Arbitrary<Amendment> = fc.record({
  ...amended,
  kind: fc.constant('renewal' as const),
  expiresAt: time,
});

export const stored: fc.Arbitrary<StoredRecord> = fc.oneof(
  reservation.map((record) => ({ kind: 'reservations' as const, record })),
  intent.map((record) => ({ kind: 'intents' as const, record })),
  release.map((record) => ({ kind: 'releases' as const, record })),
  renewal.map((record) => ({ kind: 'renewals' as const, record })),
);
