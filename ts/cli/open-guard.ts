/** The stomp guard that the settings describe. */
import { stat } from 'node:fs/promises';
import { delimiter } from 'node:path';
import type { Resolved } from '../config/index.js';
import { StompError } from '../errors.js';
import { FileGuard, Maasl, type TelemetrySink } from '../guard/index.js';
import { isPostgres } from '../storage/open.js';
import { approverSecrets } from './approver-token.js';

/** @throws StompError CONFIG_INVALID, DB_BUSY */
export function openMaasl({ settings, maasl }: Resolved, sink?: TelemetrySink): Promise<Maasl> {
  return Maasl.open({ database: settings.database, maasl, ...(sink ? { sink } : {}) });
}

/**
 * Where only what is there is looked at, a database that has been typed has to be there: for a slip of the hand a new
 * one would be made, and found empty. What the environment or a file names may be the one of a first start.
 * @throws StompError CONFIG_INVALID
 */
export async function requireDatabase({
  settings: { database },
  origins: { database: origin },
}: Pick<Resolved, 'settings' | 'origins'>): Promise<void> {
  if (origin !== '--database' || isPostgres(database) || !(await isMissing(database))) return;
  throw new StompError(
    'CONFIG_INVALID',
    `${origin}: there is no database ${database}, and this command makes none. Name the one that the server or the ` +
      'agents use.',
    { fields: { field: 'database', value: database, source: origin } },
  );
}

async function isMissing(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/**
 * What lets somebody decide approvals is kept from agents, wherever it lies.
 * @throws StompError CONFIG_INVALID for a root that is no folder.
 */
export async function openFiles(maasl: Maasl, resolved: Resolved): Promise<FileGuard> {
  const { settings } = resolved;
  const roots = await rootsOf(resolved);
  const denied = [...approverSecrets(settings), ...(settings.apiKeyFile ? [settings.apiKeyFile] : [])];
  return FileGuard.open(maasl, { roots, denied, maxFileBytes: settings.maxFileMb << 20 });
}

/** @throws StompError CONFIG_INVALID for a root that is no folder. */
export async function rootsOf({
  settings,
  origins,
}: Pick<Resolved, 'settings' | 'origins'>): Promise<string[]> {
  const roots = settings.roots.split(delimiter).filter((root) => root !== '');
  for (const root of roots) await checkFolder(root, origins.roots);
  return roots;
}

async function checkFolder(root: string, origin: string): Promise<void> {
  const found = await stat(root).catch(() => undefined);
  if (found?.isDirectory()) return;
  const what = found ? 'is no folder' : 'does not exist';
  throw new StompError(
    'CONFIG_INVALID',
    `${origin}: ${root} ${what}; name folders that agents may work in.`,
    {
      fields: { field: 'roots', value: root, source: origin },
    },
  );
}
