/** Whose reservations stand in the way of somebody. Pure. */
import { StompError } from '../errors.js';
import { isoTime } from './records/iso-time.js';
import { containerOf, type Overlap, overlaps } from './symbols/address.js';
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
  const wanted = new Wanted(addresses);
  return active.filter((one) => !party || !isSameParty(one, party)).flatMap((one) => holdingsIn(one, wanted));
}

function holdingsIn(reservation: Reservation, wanted: Wanted): Holding[] {
  const { reservationId, runId, branch, expiresAt: until } = reservation;
  const met = reservation.addresses.flatMap((heldAddress) =>
    wanted.met(heldAddress).map((at) => ({ at, heldAddress })),
  );
  return met
    .sort((a, b) => a.at - b.at)
    .flatMap(({ at, heldAddress }) => {
      const address = wanted.addresses[at] ?? '';
      const overlap = overlaps(address, heldAddress);
      return overlap ? [{ address, heldAddress, overlap, reservationId, runId, branch, until }] : [];
    });
}

/** Addresses by what is around them: a thousand are not held against every address of a thousand reservations. */
class Wanted {
  readonly addresses: readonly string[];
  readonly #at = new Map<string, number>();
  /** Where those are that an address has in it. */
  readonly #inside = new Map<string, number[]>();

  constructor(addresses: readonly string[]) {
    this.addresses = addresses;
    addresses.forEach((address, at) => {
      this.#at.set(address, at);
      for (const around of containersOf(address)) {
        const inside = this.#inside.get(around);
        if (inside) inside.push(at);
        else this.#inside.set(around, [at]);
      }
    });
  }

  /** Where those are that are the address, in it, or around it. */
  met(address: string): number[] {
    const around = [address, ...containersOf(address)].map((one) => this.#at.get(one));
    return [...around.filter((at) => at !== undefined), ...(this.#inside.get(address) ?? [])];
  }
}

/** The nearest first. */
function containersOf(address: string): string[] {
  const container = containerOf(address);
  return container === undefined ? [] : [container, ...containersOf(container)];
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
