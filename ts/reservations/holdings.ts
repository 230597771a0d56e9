/** Whose reservations stand in the way of somebody. Pure. */
import { StompError } from '../errors.js';
import { isoTime } from './records/iso-time.js';
import { containerOf, type Overlap, overlaps, separator, splitAddress } from './symbols/address.js';
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

/** In order, so that a thousand addresses are not held against every one of a thousand reservations. */
class Wanted {
  readonly addresses: readonly string[];
  readonly #at: ReadonlyMap<string, number>;
  readonly #sorted: readonly string[];

  constructor(addresses: readonly string[]) {
    this.addresses = addresses;
    this.#at = new Map(addresses.map((address, at) => [address, at]));
    this.#sorted = [...addresses].sort();
  }

  /** Where those are that are the address, around it, or may be in it. */
  met(address: string): number[] {
    const found: string[] = [];
    for (let one: string | undefined = address; one !== undefined; one = containerOf(one)) found.push(one);
    const prefix = address + (splitAddress(address).name === '' ? separator : '.');
    for (let i = this.#firstFrom(prefix); this.#sorted[i]?.startsWith(prefix); i++)
      found.push(this.#sorted[i] ?? '');
    return found.map((one) => this.#at.get(one)).filter((at) => at !== undefined);
  }

  #firstFrom(prefix: string): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sorted[middle] ?? '') < prefix) low = middle + 1;
      else high = middle;
    }
    return low;
  }
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
