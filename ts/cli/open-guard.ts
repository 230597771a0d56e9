/** The stomp guard that the settings describe. */
import { delimiter } from 'node:path';
import type { Resolved } from '../config/index.js';
import { FileGuard, Maasl, type TelemetrySink } from '../guard/index.js';

/** @throws StompError CONFIG_INVALID, DB_BUSY */
export function openMaasl({ settings, maasl }: Resolved, sink?: TelemetrySink): Promise<Maasl> {
  return Maasl.open({ database: settings.database, maasl, ...(sink ? { sink } : {}) });
}

/** @throws StompError PATH_DENIED for a root that is not there. */
export function openFiles(maasl: Maasl, { settings }: Resolved): Promise<FileGuard> {
  const roots = settings.roots.split(delimiter).filter((root) => root !== '');
  return FileGuard.open(maasl, { roots, maxFileBytes: settings.maxFileMb << 20 });
}
