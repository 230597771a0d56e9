/** The reservations that the settings describe. */
import { basename } from 'node:path';
import type { Settings } from '../config/index.js';
import { Repository } from '../reservations/git/repository.js';
import { type ReservationGuard, Reservations } from '../reservations/index.js';

/** Values of `--reservations` that are no databases. */
const inFiles = 'files';
const inDatabase = 'database';

/**
 * @param folder where the settings name no repository
 * @throws StompError NOT_A_REPOSITORY, CONFIG_INVALID, GIT_FAILED, DB_BUSY
 */
export async function openReservations(
  settings: Pick<Settings, 'repository' | 'reservations' | 'repositoryName' | 'database'>,
  folder: string,
  guard?: ReservationGuard,
): Promise<Reservations> {
  const options = { folder: settings.repository ?? folder, ...(guard ? { guard } : {}) };
  const { reservations: place } = settings;
  if (place === inFiles) return Reservations.open(options);
  const database = place === inDatabase ? settings.database : place;
  const name = settings.repositoryName ?? basename((await Repository.open(options.folder)).root);
  return Reservations.open({ ...options, database, name });
}
