/** The tables that move from one database to another: how they are read in order, in pages, and written. */
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import { entryColumns, entryOf, insertEntries } from './entry-rows.js';

export interface MovedTable {
  readonly name: string;
  /** What is read of it, compared and written. */
  readonly columns: readonly string[];
  /** Of columns that are not read as they are stored. */
  readonly instead?: Readonly<Record<string, string>>;
  /** By what it is ordered, in either database alike. */
  readonly order: readonly Key[];
  readonly insert: (table: MovedTable, found: readonly Row[]) => Work<void>;
}

interface Key {
  readonly column: string;
  readonly isText: boolean;
}

/** Of the last row that was read, by the table's order; empty before the first. */
export type Position = readonly (string | number)[];

export interface Page {
  readonly rows: readonly Row[];
  readonly end: Position;
}

const text = (column: string): Key => ({ column, isText: true });
const integer = (column: string): Key => ({ column, isText: false });

const statuses = ['info', 'success', 'warn', 'error', 'bug', 'plan'];
const counts = ['entries', ...statuses];

/** Those that others refer to come first. */
export const movedTables: readonly MovedTable[] = [
  table('projects', 'name root progress_log_path description tags meta created_at updated_at', text('name')),
  table(
    'agent_sessions',
    'id agent_id started_at last_active_at expires_at status reason metadata',
    text('id'),
  ),
  table(
    'agent_projects',
    'agent_id project_name version updated_at updated_by session_id change_id',
    text('agent_id'),
  ),
  // Their ids are made anew, in the same order.
  table(
    'agent_project_events',
    'agent_id session_id event_type from_project to_project expected_version actual_version success error_message metadata created_at',
    integer('id'),
  ),
  // Counted anew as the entries come in. What stands at the head of an empty log nobody else knows.
  {
    ...table('metrics', `project ${counts.join(' ')} last_entry_at head`, text('project')),
    instead: {
      ...Object.fromEntries(counts.map((column) => [column, '0'])),
      last_entry_at: 'NULL',
      head: "CASE WHEN entries = 0 THEN head ELSE '' END",
    },
  },
  {
    ...table('entries', entryColumns.replaceAll(',', ''), text('project'), integer('line')),
    insert: insertPage,
  },
  table('progress_logs', 'project number bytes first_line written_line', text('project')),
  table(
    'progress_log_archives',
    'project number path bytes first_line last_line sha256 closed_at',
    text('project'),
    integer('number'),
  ),
];

function table(name: string, columns: string, ...order: Key[]): MovedTable {
  return { name, columns: columns.split(' '), order, insert: insertRows };
}

/** The rows after a position, in pages, each read for itself. */
export async function* pagesOf(
  storage: Storage,
  table: MovedTable,
  after: Position,
  pageRows: number,
): AsyncGenerator<Page> {
  const [first] = table.order;
  if (!first || table.order.length === 1) {
    yield* pagesWithin(storage, table, { after: after[0], pageRows });
    return;
  }
  for (const group of await groupsOf(storage, table.name, first)) {
    if (isBefore(group, after)) continue;
    yield* pagesWithin(storage, table, { group, after: group === after[0] ? after[1] : undefined, pageRows });
  }
}

interface Span {
  /** Value of the first of two keys. Within it an index has the order, however the database orders texts. */
  readonly group?: string;
  /** Value of the last key, of the row before the first. */
  readonly after: SqlValue | undefined;
  readonly pageRows: number;
}

async function* pagesWithin(storage: Storage, table: MovedTable, span: Span): AsyncGenerator<Page> {
  let { after } = span;
  while (true) {
    const found = await storage.read(() => readPage(storage, table, { ...span, after }));
    const last = found.at(-1);
    if (!last) return;
    const end = table.order.map((key, i) => positionOf(key, last[`key_${i}`]));
    yield { rows: found, end };
    if (found.length < span.pageRows) return;
    after = end.at(-1);
  }
}

function readPage(
  storage: Storage,
  { name, columns, instead, order }: MovedTable,
  { group, after, pageRows }: Span,
): Work<readonly Row[]> {
  const by = ordered(storage, order[order.length - 1] as Key);
  const selected = [
    ...columns.map((column) => spelled(column, instead)),
    ...order.map(({ column }, i) => `${column} AS key_${i}`),
  ];
  const conditions = [
    ...(group === undefined ? [] : [`${order[0]?.column} = ?`]),
    ...(after === undefined ? [] : [`${by} > ?`]),
  ];
  const params = [group, after].filter((param) => param !== undefined);
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  return rows(
    `SELECT ${selected.join(', ')} FROM ${name} ${where} ORDER BY ${by} LIMIT ?`,
    ...params,
    pageRows,
  );
}

async function groupsOf(storage: Storage, name: string, { column }: Key): Promise<string[]> {
  const found = await storage.read(() => rows(`SELECT DISTINCT ${column} AS value FROM ${name}`));
  return found.map(({ value }) => String(value)).sort(byBytes);
}

function isBefore(group: string, after: Position): boolean {
  return after.length > 0 && byBytes(group, String(after[0])) < 0;
}

/** As SQLite orders texts, and PostgreSQL where it is asked to. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function ordered(storage: Storage, { column, isText }: Key): string {
  return isText && storage.dialect === 'postgres' ? `${column} COLLATE "C"` : column;
}

function spelled(column: string, instead: MovedTable['instead']): string {
  const expression = instead?.[column];
  return expression === undefined ? column : `${expression} AS ${column}`;
}

function positionOf({ isText }: Key, value: SqlValue | undefined): string | number {
  return isText ? String(value) : Number(value);
}

// Of the rows of a statement; the rest go one by one, so that there are two statements and not one for each number.
const rowsAtOnce = 50;

function* insertRows({ name, columns }: MovedTable, found: readonly Row[]): Work<void> {
  const values = `(${columns.map(() => '?').join(', ')})`;
  const insert = `INSERT INTO ${name} (${columns.join(', ')}) VALUES ${values}`;
  const many = `${insert}${`, ${values}`.repeat(rowsAtOnce - 1)}`;
  const params = found.map((row) => columns.map((column) => row[column] ?? null));
  const whole = found.length - (found.length % rowsAtOnce);
  for (let i = 0; i < whole; i += rowsAtOnce) {
    yield* rows(many, ...params.slice(i, i + rowsAtOnce).flat());
  }
  for (const one of params.slice(whole)) yield* rows(insert, ...one);
}

/** By the way that all entries come in, so that what is derived from them is made anew. */
function* insertPage(_table: MovedTable, found: readonly Row[]): Work<void> {
  const entries = found.map(entryOf);
  const project = entries[0]?.project ?? '';
  // It locks the row, which is missing in a damaged database only.
  yield* rows(
    `INSERT INTO metrics (project, ${counts.join(', ')}, last_entry_at, head)
     VALUES (?, ${counts.map(() => '0').join(', ')}, NULL, '') ON CONFLICT (project) DO UPDATE SET project = excluded.project`,
    project,
  );
  yield* insertEntries(entries);
}
