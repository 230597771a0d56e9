/** What a database holds beside the context, which a transfer leaves where it is. */
import { rows, type Storage } from '../storage/storage.js';
import { movedTables } from './transfer-tables.js';

/** A table with rows that did not move. */
export interface LeftTable {
  readonly table: string;
  readonly rows: number;
  /** What it is, and why it stays, for people. */
  readonly why: string;
}

/** What the target has of its own, or has made from what came in. */
const madeAnew =
  /^(sqlite_|stomp_migrations$|stomp_lock_counters$|clutch_last_event$|context_|entry_(counts|terms|text))/;
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^clutch_/, 'runs, gates and rules; a run goes on only with the database that it began in'],
  [/^stomp_(lock|staged)/, 'leases and fencing tokens; the other database gives out its own'],
  [/^stomp_graph/, 'knowledge graphs of the guard; they are no part of the context'],
  [/^stomp_docgen/, 'which docs were made; they are made anew when they are asked for'],
  [/^reservation_/, 'reservations of symbols; they end by themselves, reserve again what goes on'],
];
const foreign = 'no table of the context';

/** Tables of a source that have rows and are not moved, by name. It only reads. */
export function leftBehind(storage: Storage): Promise<LeftTable[]> {
  const moved = new Set(movedTables.map(({ name }) => name));
  return storage.read(function* () {
    const left: LeftTable[] = [];
    for (const { name } of yield* rows(catalogues[storage.dialect])) {
      const table = String(name);
      if (moved.has(table) || madeAnew.test(table)) continue;
      const [row] = yield* rows(`SELECT count(*) AS total FROM "${table.replaceAll('"', '""')}"`);
      const total = Number(row?.total);
      if (total > 0) left.push({ table, rows: total, why: reasonOf(table) });
    }
    return left;
  });
}

const catalogues = {
  sqlite: "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
  postgres: 'SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename',
};

function reasonOf(table: string): string {
  return reasons.find(([pattern]) => pattern.test(table))?.[1] ?? foreign;
}
