/** What agents announce about symbols, and what is foreseen from it. */

/** What somebody is about to do with a symbol. */
export const operations = ['rename', 'move', 'extract', 'modify', 'delete'] as const;
/** One of `operations`. */
export type Operation = (typeof operations)[number];

/** Who works where: two of them are different agents when either part differs. */
export interface Party {
  readonly runId: string;
  readonly branch: string;
}

/** Agents by what is said of them; with nothing, all. */
export interface PartyFilter {
  readonly runId?: string | undefined;
  readonly branch?: string | undefined;
}

/** An announcement that symbols will be touched. Never changed once written; what ends or prolongs it is a record of its own. */
export interface Reservation extends Party {
  readonly reservationId: string;
  /** `<path>::<qualified name>`, or a path for the whole file. */
  readonly addresses: readonly string[];
  readonly createdAt: Date;
  /** Renewals included. */
  readonly expiresAt: Date;
  /** Null when it is not said, or not known here. */
  readonly operation: Operation | null;
  /** When it was given back. */
  readonly releasedAt?: Date;
  /** Tokens of the guard's leases that were taken with it. */
  readonly leases?: Readonly<Record<string, number>>;
  /** For which of the agent's sessions; without it they cannot be given back. */
  readonly leaseSession?: string;
}

/** What exactly is about to be done under a reservation. */
export interface Intent extends Party {
  readonly intentId: string;
  readonly reservationId: string;
  readonly addresses: readonly string[];
  readonly operation: Operation;
  readonly createdAt: Date;
  readonly detail: string;
  /** That of its reservation; of its own when there is none. */
  readonly expiresAt: Date;
}

/** Something that was passed over, and why; the rest went on. */
export interface Warning {
  /** File, relative to the repository, or the record's id. */
  readonly subject: string;
  readonly reason: string;
}

/** Ends a reservation, or prolongs it. */
export interface Amendment {
  readonly id: string;
  readonly kind: 'release' | 'renewal';
  readonly reservationId: string;
  readonly runId: string;
  readonly createdAt: Date;
  /** Of a renewal. */
  readonly expiresAt?: Date;
}

/** What may clash, the most certain first. */
export const conflictTypes = [
  'address_overlap',
  'containment_overlap',
  'operation_conflict',
  'signature_dependency',
  'blast_radius_overlap',
  'file_overlap',
] as const;
/** One of `conflictTypes`. */
export type ConflictType = (typeof conflictTypes)[number];

/** Two agents that are likely to stomp on each other. */
export interface Conflict {
  readonly conflictType: ConflictType;
  readonly addresses: readonly string[];
  /** `run_id@branch` of each. */
  readonly agents: readonly string[];
  readonly confidence: number;
  readonly description: string;
  /** From caller to callee, where calls are the reason. */
  readonly callPath?: readonly string[];
}

/** What is foreseen. */
export interface Forecast {
  readonly activeReservations: number;
  readonly intents: number;
  readonly conflicts: readonly Conflict[];
  readonly highRisk: number;
  readonly mediumRisk: number;
  readonly lowRisk: number;
  readonly warnings: readonly Warning[];
}
