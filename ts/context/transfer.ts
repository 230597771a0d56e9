/** Moves the context from one database to another, and compares the two afterwards. */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { checkInteger, checkObserver, checkSignal } from '../arguments.js';
import { StompError } from '../errors.js';
import { type Migration, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import { type LeftTable, leftBehind } from './left-behind.js';
import { type MovedTable, movedTables, type Page, type Position, pagesOf } from './transfer-tables.js';

/** How to move. */
export interface TransferOptions {
  /** Is told after each transaction. */
  readonly onProgress?: (progress: TransferProgress) => void;
  /** Stops it between two transactions; it can be taken up again. */
  readonly signal?: AbortSignal;
  /** Rows of one transaction, which are in memory at once. @default 1000 */
  readonly batchRows?: number;
}

/** How far it has come. */
export interface TransferProgress {
  readonly phase: 'copy' | 'verify';
  readonly table: string;
  /** Of the table, so far. */
  readonly rows: number;
  readonly total: number;
}

/** What a table holds. */
export interface TableContent {
  readonly table: string;
  readonly rows: number;
  /** Of all its rows in order, in lower-case hex. */
  readonly sha256: string;
}

/** What was moved. */
export interface TransferResult {
  readonly source: string;
  readonly target: string;
  /** Whether a part had been copied before. */
  readonly resumed: boolean;
  /** Equal in both. */
  readonly tables: readonly TableContent[];
  /** What the source holds beside the context, and keeps. */
  readonly left: readonly LeftTable[];
}

const integer = { sqlite: 'INTEGER', postgres: 'bigint' };
const tables = (dialect: Storage['dialect']) => [
  `CREATE TABLE context_transfer (
     id ${integer[dialect]} PRIMARY KEY CHECK (id = 1), source TEXT NOT NULL, finished_at ${integer[dialect]}
   )`,
  // place: how far the table is copied.
  `CREATE TABLE context_transfer_tables (
     name TEXT PRIMARY KEY, place TEXT NOT NULL, copied ${integer[dialect]} NOT NULL
   )`,
];
const transferMigrations: readonly Migration[] = [
  { name: 'context-transfer-1', sqlite: tables('sqlite'), postgres: tables('postgres') },
];

interface Run {
  readonly from: Storage;
  readonly to: Storage;
  readonly batchRows: number;
  readonly totals: ReadonlyMap<string, number>;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: TransferProgress) => void) | undefined;
}

/**
 * Copies projects, sessions, current projects, events, progress logs and their entries into an empty database. Nobody
 * should write to either meanwhile; that somebody did is found at the end. How far it has come is kept in the target:
 * after an interruption the same call goes on from there. From the source it only reads.
 * REQUIRES: both databases have been migrated to the tables of this version.
 * @throws StompError INVALID_REQUEST when the target holds something else; STATE_INVALID when the two differ at the
 *   end; CANCELLED; DB_BUSY
 */
export async function transferContext(
  from: Storage,
  to: Storage,
  options: TransferOptions = {},
): Promise<TransferResult> {
  const signal = checkSignal('signal', options.signal);
  const onProgress = checkObserver('onProgress', options.onProgress);
  const batchRows = checkInteger('batchRows', options.batchRows, 1000, { min: 1, max: 100_000 });
  const source = await addressOf(from);
  if (source === (await addressOf(to)))
    throw refusal(to, 'is the source itself', 'Name another one as the target.');
  await to.migrate(transferMigrations);
  const resumed = await to.write(() => begin(to, source));
  const run: Run = { from, to, batchRows, signal, onProgress, totals: await totalsOf(from) };
  for (const table of movedTables) await copy(run, table);
  const contents = await compare(run);
  await to.write(() => rows('UPDATE context_transfer SET finished_at = ?', Date.now()));
  return { source: from.name, target: to.name, resumed, tables: contents, left: await leftBehind(from) };
}

/** What tells it from other databases. */
async function addressOf(storage: Storage): Promise<string> {
  const { dialect, name } = storage;
  if (dialect === 'sqlite') return `${dialect} ${resolve(name)}`;
  const [row] = await storage.read(() => rows('SELECT current_schema() AS schema'));
  return `${dialect} ${name} ${row?.schema}`;
}

/** @returns whether it was begun before */
function* begin(to: Storage, source: string): Work<boolean> {
  const fresh = yield* rows(
    'INSERT INTO context_transfer (id, source, finished_at) VALUES (1, ?, NULL) ON CONFLICT (id) DO NOTHING RETURNING id',
    source,
  );
  if (fresh.length === 0) {
    yield* checkSame(to, source);
    return true;
  }
  for (const { name } of movedTables) {
    const found = yield* rows(`SELECT 1 AS found FROM ${name} LIMIT 1`);
    if (found.length > 0) throw refusal(to, `is not empty: it has rows in ${name}`, emptyRemedy);
    yield* rows("INSERT INTO context_transfer_tables (name, place, copied) VALUES (?, '[]', 0)", name);
  }
  return false;
}

const emptyRemedy = 'Name a new file, or a PostgreSQL database or schema without such tables.';

function* checkSame(to: Storage, source: string): Work<void> {
  const [before] = yield* rows('SELECT source, finished_at FROM context_transfer');
  if (before?.finished_at !== null)
    throw refusal(to, `has been filled from ${before?.source} before`, emptyRemedy);
  if (before.source !== source)
    throw refusal(to, `is being filled from ${before.source}`, `Go on with that source. ${emptyRemedy}`);
}

function refusal({ name }: Storage, problem: string, remedy: string): StompError {
  return new StompError('INVALID_REQUEST', `The target ${name} ${problem}. ${remedy}`, {
    fields: { field: 'to', value: name },
  });
}

async function totalsOf(storage: Storage): Promise<Map<string, number>> {
  return storage.read(function* () {
    const totals = new Map<string, number>();
    for (const { name } of movedTables) {
      const [row] = yield* rows(`SELECT count(*) AS total FROM ${name}`);
      totals.set(name, Number(row?.total));
    }
    return totals;
  });
}

async function copy(run: Run, table: MovedTable): Promise<void> {
  const { from, to, batchRows } = run;
  const [state] = await to.read(() =>
    rows('SELECT place, copied FROM context_transfer_tables WHERE name = ?', table.name),
  );
  let place = String(state?.place);
  let copied = Number(state?.copied);
  for await (const page of pagesOf(from, table, JSON.parse(place) as Position, batchRows)) {
    checkGoesOn(run);
    const before = place;
    await to.write(() => put(table, page, before));
    place = JSON.stringify(page.end);
    copied += page.rows.length;
    say(run, 'copy', table, copied);
  }
}

/** The rows and how far they reach, in one transaction, which may be run twice. */
function* put(table: MovedTable, page: Page, before: string): Work<void> {
  const after = JSON.stringify(page.end);
  const moved = yield* rows(
    'UPDATE context_transfer_tables SET place = ?, copied = copied + ? WHERE name = ? AND place = ? RETURNING name',
    after,
    page.rows.length,
    table.name,
    before,
  );
  if (moved.length > 0) {
    yield* table.insert(table, page.rows);
    return;
  }
  const [now] = yield* rows('SELECT place FROM context_transfer_tables WHERE name = ?', table.name);
  if (now?.place === after) return;
  throw new StompError(
    'INVALID_REQUEST',
    `Another process copies into the same database, ${table.name} just now. Let it finish, or end it and start again.`,
    { fields: { field: 'to', table: table.name } },
  );
}

async function compare(run: Run): Promise<TableContent[]> {
  const contents: { readonly source: TableContent; readonly target: TableContent }[] = [];
  for (const table of movedTables) {
    contents.push({
      source: await contentOf(run, run.from, table),
      target: await contentOf(run, run.to, table),
    });
  }
  const differing = contents.filter(
    ({ source, target }) => source.rows !== target.rows || source.sha256 !== target.sha256,
  );
  if (differing.length > 0) throw differ(run, differing);
  return contents.map(({ source }) => source);
}

async function contentOf(run: Run, storage: Storage, table: MovedTable): Promise<TableContent> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const { rows: found } of pagesOf(storage, table, [], run.batchRows)) {
    checkGoesOn(run);
    for (const row of found) {
      hash.update(`${spelled(table.columns.map((column) => row[column] ?? null))}\n`);
    }
    count += found.length;
    if (storage === run.to) say(run, 'verify', table, count);
  }
  return { table: table.name, rows: count, sha256: hash.digest('hex') };
}

/** Of equal rows the same in either database, whichever type their drivers have for a number. */
function spelled(values: readonly SqlValue[]): string {
  return JSON.stringify(values.map((value) => (value === null ? null : `${value}`)));
}

function differ(
  { from, to }: Run,
  differing: readonly { readonly source: TableContent; readonly target: TableContent }[],
): StompError {
  const shown = differing.map(({ source, target }) =>
    source.rows === target.rows
      ? `${source.table} (${source.rows} rows each, of different content)`
      : `${source.table} (${source.rows} rows in the source, ${target.rows} in the target)`,
  );
  return new StompError(
    'STATE_INVALID',
    `${from.name} and ${to.name} differ in ${shown.join(', ')}: somebody has written to one of them. ` +
      'Stop whatever uses them and start again with an empty target; the source is as it was.',
    { fields: { source: from.name, target: to.name, tables: differing } },
  );
}

function checkGoesOn({ signal }: Run): void {
  if (!signal?.aborted) return;
  throw new StompError('CANCELLED', 'The transfer was stopped; the same call goes on with it.', {
    cause: signal.reason,
  });
}

function say(
  { onProgress, totals }: Run,
  phase: TransferProgress['phase'],
  { name }: MovedTable,
  count: number,
): void {
  onProgress?.({ phase, table: name, rows: count, total: totals.get(name) ?? count });
}
