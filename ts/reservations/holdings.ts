/** Whose reservations stand in the way of somebody. Pure. */
import { StompError } from '../errors.js';
import { isoTime } from './records/iso-time.js';
import { type Overlap, overlaps } from './symbols/address.js';
import type { Party, Reservation } from './types.js';

/** Something that is wanted and that another agent has reserved, or what holds it or is in it. */
export interface Holding extends Party {
  /** Which is wanted. */
  readonly address: string;
  /** Which is reserved. */
  readonly heldAddress: string;
  readonly overlap: Overlap;
  readonly reservationId: string;
  readonly until: Date;
}

/** Two sittings of one agent on one branch are the same agent. */
export function isSameParty(a: Party, b: Party): boolean {
  return a.runId === b.runId && a.branch === b.branch;
}

/**
 * @param active reservations that have not ended
 * @param party whose own reservations are not in its way
 */
export function holdingsOf(
  addresses: readonly string[],
  active: readonly Reservation[],
  party: Party | undefined,
): Holding[] {
  return active
    .filter((one) => !party || !isSameParty(one, party))
    .flatMap((one) => addresses.flatMap((address) => holdingsIn(one, address)));
}

function holdingsIn(reservation: Reservation, address: string): Holding[] {
  const { reservationId, runId, branch, expiresAt: until } = reservation;
  return reservation.addresses.flatMap((heldAddress) => {
    const overlap = overlaps(address, heldAddress);
    return overlap ? [{ address, heldAddress, overlap, reservationId, runId, branch, until }] : [];
  });
}

const mostTold = 100;

export function conflictError(holdings: readonly Holding[]): StompError {
  const shown = holdings.slice(0, mostTold).map((it) => ({
    address: it.address,
    held_address: it.heldAddress,
    overlap: it.overlap,
    reservation_id: it.reservationId,
    run_id: it.runId,
    branch: it.branch,
    until: isoTime(it.until),
  }));
  const [first] = holdings;
  const more = holdings.length > 1 ? ` (and ${holdings.length - 1} more)` : '';
  const message = first
    ? `${first.heldAddress} is reserved by ${first.runId} on ${first.branch} until ${isoTime(first.until)}${more}. ` +
      'Take another symbol, or wait until it is free.'
    : 'The addresses are reserved.';
  return new StompError('RESERVATION_CONFLICT', message, {
    fields: { ...shown[0], holders: shown, held: holdings.length },
  });
}
