/** Who will touch which symbols, what will clash, and how to merge what came of it. */
export type { Activity } from './activity.js';
export type { Holding } from './holdings.js';
export type { ReservationGuard } from './leases.js';
export { FolderStore, type FolderStoreOptions } from './records/folder-store.js';
export { SqlRecordStore, type SqlStoreOptions } from './records/sql-store.js';
export type { RecordStore, Records } from './records/store.js';
export type {
  AwaitRequest,
  IntentRequest,
  ReleaseRequest,
  RenewRequest,
  ReserveRequest,
} from './requests.js';
export { type Amended, Reservations, type ReservationsOptions, type Reserved } from './reservations.js';
export { type Overlap, overlaps } from './symbols/address.js';
export { reservationTools } from './tools/reservation-tools.js';
export * from './types.js';
