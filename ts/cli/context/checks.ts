/** The verbs that are no tools: they look at the whole database, and at the state file as it lies there. */
import { existsSync } from 'node:fs';
import type { Resolved } from '../../config/index.js';
import { transferContext } from '../../context/index.js';
import { StateMirror } from '../../context/mirror.js';
import { contextMigrations } from '../../context/schema.js';
import { StompError } from '../../errors.js';
import { isPostgres, openStorage } from '../../storage/open.js';
import { stateFileOf } from '../open-context.js';
import { rootsOf } from '../open-guard.js';
import { say, type Terminal } from '../terminal.js';

export type Result = Readonly<Record<string, unknown>>;

/** An open context would have brought the file up to date: it is looked at without one. */
export async function verifyState({ settings, origins }: Resolved): Promise<Result> {
  const path = stateFileOf(settings, await rootsOf({ settings, origins }));
  if (path === undefined) {
    throw new StompError(
      'CONFIG_INVALID',
      'There is no state file to be compared: name one with --state-file.',
      {
        fields: { field: 'state-file', value: settings.stateFile },
      },
    );
  }
  const storage = await openStorage(settings.database);
  try {
    await storage.migrate(contextMigrations);
    const drift = await new StateMirror({ storage, path }).verify();
    return { ok: drift.length === 0, path, drift };
  } finally {
    await storage.close();
  }
}

/** Copies the context from one database into another. */
export async function migrate(args: Result, { settings }: Resolved, terminal: Terminal): Promise<Result> {
  const source = addressOf('from', args['from'], settings.database);
  const target = addressOf('to', args['to'], settings.database);
  // A new file would be opened too, and found empty.
  if (!isPostgres(source) && !existsSync(source))
    throw unknownAddress('from', source, `There is no file ${source}`);
  const from = await openStorage(source);
  try {
    const to = await openStorage(target);
    try {
      for (const storage of [from, to]) await storage.migrate(contextMigrations);
      return { ...(await transferContext(from, to, { onProgress: progressOn(terminal) })) };
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
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
