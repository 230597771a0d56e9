/** What of all that was ever announced holds now. Pure. */
import { defaultTtlSeconds } from './records/records.js';
import type { Records } from './records/store.js';
import type { Amendment, Intent, Reservation, Warning } from './types.js';

/** What was announced, with what ended or prolonged it applied; the oldest first. */
export interface Activity {
  readonly reservations: readonly Reservation[];
  readonly intents: readonly Intent[];
  readonly warnings: readonly Warning[];
}

/** The same, in whatever order the records come. */
export function activityOf(records: Records): Activity {
  const warnings = [...records.warnings];
  const known = new Map(records.reservations.map((one) => [one.reservationId, one]));
  for (const amendment of [...records.amendments].sort(byId)) {
    const reservation = known.get(amendment.reservationId);
    if (!reservation) continue; // archived, or in a record that cannot be read, of which a warning tells
    if (reservation.runId === amendment.runId)
      known.set(reservation.reservationId, amended(reservation, amendment));
    else warnings.push(foreign(reservation, amendment));
  }
  return {
    reservations: [...known.values()].sort((a, b) => older(a, b, (it) => it.reservationId)),
    intents: records.intents
      .map((intent) => inherited(intent, known.get(intent.reservationId)))
      .sort((a, b) => older(a, b, (it) => it.intentId)),
    warnings,
  };
}

/** Those that have not ended. */
export function activeAt(activity: Activity, now: Date): Activity {
  return {
    ...activity,
    reservations: activity.reservations.filter((one) => isActive(one, now)),
    intents: activity.intents.filter((one) => isActive(one, now)),
  };
}

/** Clocks of two machines differ: what is given back is so at once, whatever the time. */
export function isActive(one: Reservation | Intent, now: Date): boolean {
  const released = 'releasedAt' in one && one.releasedAt !== undefined;
  return !released && now < one.expiresAt;
}

/** When a reservation ended, or will. */
export function endOf({ releasedAt, expiresAt }: Reservation): Date {
  return releasedAt ? earlier(releasedAt, expiresAt) : expiresAt;
}

/** A renewal never takes away, and the first of two releases counts: so their order is of no matter. */
function amended(reservation: Reservation, { kind, createdAt, expiresAt }: Amendment): Reservation {
  if (kind === 'release') {
    const { releasedAt = createdAt } = reservation;
    return { ...reservation, releasedAt: earlier(releasedAt, createdAt) };
  }
  if (!expiresAt || expiresAt <= reservation.expiresAt) return reservation;
  return { ...reservation, expiresAt };
}

/** An intent ends with its reservation. */
function inherited(intent: Intent, reservation: Reservation | undefined): Intent {
  const own = new Date(intent.createdAt.getTime() + defaultTtlSeconds * 1000);
  return { ...intent, expiresAt: reservation ? endOf(reservation) : own };
}

function foreign(reservation: Reservation, { id, kind, runId }: Amendment): Warning {
  const reason = `${kind} of ${reservation.reservationId} by ${runId}, which is ${reservation.runId}'s: passed over`;
  return { subject: id, reason };
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}

function byId(a: Amendment, b: Amendment): number {
  return compare(a.id, b.id);
}

function older<T extends { createdAt: Date }>(a: T, b: T, id: (it: T) => string): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || compare(id(a), id(b));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
