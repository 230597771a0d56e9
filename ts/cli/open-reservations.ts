/** The reservations that the settings describe. */
import { basename } from 'node:path';
import type { Settings } from '../config/index.js';
import { StompError } from '../errors.js';
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

/**
 * For a server that has more to offer than reservations: where nobody has named a repository it starts without.
 * @param roots the first is looked at where the settings name no repository
 * @returns or why there are none
 * @throws StompError NOT_A_REPOSITORY for one that was named; CONFIG_INVALID, GIT_FAILED, DB_BUSY
 */
export async function reservationsToServe(
  settings: Parameters<typeof openReservations>[0],
  roots: readonly string[],
  guard: ReservationGuard,
): Promise<Reservations | StompError> {
  const [folder = '.'] = roots;
  try {
    return await openReservations(settings, folder, guard);
  } catch (error) {
    // GIT_FAILED: there may be no git on this machine.
    if (settings.repository !== undefined || !isOf(error, 'NOT_A_REPOSITORY', 'GIT_FAILED')) throw error;
    return new StompError(
      'NOT_A_REPOSITORY',
      `There are no reservations here: ${error.message} Start the server with --repository FOLDER.`,
      { fields: { ...error.fields, setting: 'repository' }, cause: error },
    );
  }
}

function isOf(error: unknown, ...codes: readonly StompError['code'][]): error is StompError {
  return error instanceof StompError && codes.includes(error.code);
}
