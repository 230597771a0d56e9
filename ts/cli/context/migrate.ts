/** Moves a context from one database into another. */
import { existsSync } from 'node:fs';
import type { Resolved } from '../../config/index.js';
import { moveContext } from '../../context/index.js';
import { StompError } from '../../errors.js';
import { isPostgres } from '../../storage/open.js';
import { say, type Terminal } from '../terminal.js';

/** What a verb gives. */
export type Result = Readonly<Record<string, unknown>>;

/** @throws StompError CONFIG_INVALID for what names no database; whatever `moveContext` throws */
export async function migrate(args: Result, { settings }: Resolved, terminal: Terminal): Promise<Result> {
  const source = addressOf('from', args['from'], settings.database);
  const target = addressOf('to', args['to'], settings.database);
  if (!isPostgres(source) && !existsSync(source))
    throw unknownAddress('from', source, `There is no file ${source}`);
  return { ...(await moveContext(source, target, { onProgress: progressOn(terminal) })) };
}

/** A line for each table and phase. */
function progressOn(terminal: Terminal) {
  let last = '';
  return ({ phase, table, total }: { phase: string; table: string; total: number }): void => {
    const step = `${phase} ${table}`;
    if (step !== last)
      say(terminal, `${phase === 'copy' ? 'Copying' : 'Comparing'} ${table} (${total} rows)`);
    last = step;
  };
}

/** `sqlite` and `postgres` stand for the database of the settings, if it is one of that kind. */
function addressOf(flag: string, given: unknown, database: string): string {
  if (typeof given !== 'string') throw unknownAddress(flag, given, `--${flag} is missing`);
  if (given !== 'sqlite' && given !== 'postgres') return given;
  if (isPostgres(database) === (given === 'postgres')) return database;
  throw unknownAddress(flag, given, `The settings name no database of ${given}`);
}

function unknownAddress(flag: string, value: unknown, what: string): StompError {
  return new StompError(
    'CONFIG_INVALID',
    `${what}; name a file, or postgres://user:password@host/database, as in --${flag}=ADDRESS.`,
    { fields: { field: flag, value } },
  );
}
