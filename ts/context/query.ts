/** Queries of the progress log. */
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { entryColumns, entryOf } from './entry-rows.js';
import { type CheckedQuery, checkQuery, checkRecent } from './query-arguments.js';
import { inOrder, isCounted, positionsOf } from './query-branches.js';
import { type Found, findCounted, type Wanted } from './query-counted.js';
import { type Position, writeCursor } from './query-cursor.js';
import { findHits } from './query-hits.js';
import { checkNotCancelled, type Log, matchingRows, scan } from './query-scan.js';
import { KnownTotals } from './query-totals.js';
import type { EntryPage, EntryQuery, RecentQuery } from './query-types.js';

const sparse = 100;

/** Finds entries. Both databases give the same results, in the same order, with the same cursors. */
export class EntryQueries {
  readonly #storage: Storage;
  readonly #totals = new KnownTotals();

  /** @param storage migrated with `contextMigrations` */
  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * Entries that meet all conditions, the newest first unless `order` says otherwise.
   *
   * By counts and indexes where those suffice: time, status, priority, emoji, agents, category, a tag by itself, and
   * whatever meta, an exact message or a selective part of one narrow down. Other searches read the log in batches.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CANCELLED by `signal`, DB_BUSY
   */
  async query(query: EntryQuery): Promise<EntryPage> {
    return this.#page(checkQuery(query));
  }

  /**
   * The newest entries of a project.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CANCELLED by `signal`, DB_BUSY
   */
  async recent(query: RecentQuery): Promise<EntryPage> {
    return this.#page(checkRecent(query));
  }

  async #page(query: CheckedQuery): Promise<EntryPage> {
    checkNotCancelled(query.signal);
    if (!isCounted(query.conditions)) return this.#search(query);
    return this.#storage.read(() => countedPage(this.#storage.dialect, query));
  }

  async #search(query: CheckedQuery): Promise<EntryPage> {
    const { pattern } = query.conditions;
    const totals = this.#totals;
    const [logs, hits] = await this.#storage.read(() => narrowed(this.#storage.dialect, query, totals));
    let found: Found;
    if (hits) {
      const regex = pattern?.mode === 'regex' ? pattern : undefined;
      const matching = await matchingRows(hits, regex, query.signal);
      found = cut(positionsOf(matching), query);
      // Where every hundredth entry matches, the next page is found sooner by reading than by all that match.
      const [log] = logs;
      if (logs.length === 1 && log && matching.length * sparse >= log.lines)
        await this.#totals.learn(this.#storage, log, query, matching.length);
    } else {
      found = await scan(this.#storage, logs, query, { wanted: wantedBy(query), totals });
    }
    return this.#storage.read(() => pageOf(query, found));
  }
}

function* countedPage(dialect: Storage['dialect'], query: CheckedQuery): Work<EntryPage> {
  const logs = yield* logsOf(query);
  const projects = logs.map(({ project }) => project);
  return yield* pageOf(query, yield* findCounted(dialect, projects, query, wantedBy(query)));
}

/** The logs to search, and what an index finds in them; not looked for again where it was of no use before. */
function* narrowed(
  dialect: Storage['dialect'],
  query: CheckedQuery,
  totals: KnownTotals,
): Work<[logs: Log[], hits: Row[] | undefined]> {
  const logs = yield* logsOf(query);
  const [log] = logs;
  if (!log) return [logs, []];
  if (logs.length === 1 && (yield* totals.of(log, query, dialect)) !== undefined) return [logs, undefined];
  const projects = logs.map(({ project }) => project);
  return [logs, yield* findHits(dialect, projects, query)];
}

/** The logs to look at, with what is in them now. */
function* logsOf({ project }: CheckedQuery): Work<Log[]> {
  const found = yield* project === undefined
    ? rows('SELECT project, entries FROM metrics WHERE entries > 0')
    : rows('SELECT project, entries FROM metrics WHERE entries > 0 AND project = ?', project);
  return found.map((row) => ({ project: String(row.project), lines: Number(row.entries) }));
}

/** One more than is on the page, to know whether there is another one; none beyond the limit. */
function wantedBy({ page, pageSize, limit, cursor }: CheckedQuery): Wanted {
  const before = (page - 1) * pageSize;
  const take = Math.max(0, Math.min(pageSize + 1, limit - before));
  return { after: cursor?.after, skip: cursor ? 0 : before, take };
}

function cut(positions: Position[], query: CheckedQuery): Found {
  const { after, skip, take } = wantedBy(query);
  const sorted = inOrder(after ? [...positions, after] : positions, query.descending);
  const first = after ? sorted.lastIndexOf(after) + 1 : skip;
  return { total: positions.length, positions: sorted.slice(first, first + take) };
}

function* pageOf(query: CheckedQuery, { total, positions }: Found): Work<EntryPage> {
  const { page, pageSize, limit } = query;
  const most = Math.max(0, Math.min(pageSize, limit - (page - 1) * pageSize));
  const shown = positions.slice(0, most);
  const last = shown.at(-1);
  const hasMore = positions.length > most && page * pageSize < limit;
  const limited = Math.min(total, limit);
  const entries = yield* load(shown);
  return {
    entries: entries.map((entry) => projected(entry, query.fields)),
    page,
    page_size: pageSize,
    total: limited,
    pages: Math.ceil(limited / pageSize),
    has_more: hasMore,
    next_cursor: hasMore && last ? writeCursor(query.fingerprint, { after: last, page: page + 1 }) : null,
  };
}

// Few different statements, whatever the size of a page.
const linesTogether = 50;

/** The entries at these positions, in their order. */
function* load(positions: readonly Position[]): Work<Entry[]> {
  const found = new Map<string, Entry>();
  for (let from = 0; from < positions.length; from += linesTogether) {
    const some = positions.slice(from, from + linesTogether);
    for (const row of yield* loadSome(some)) {
      const entry = entryOf(row);
      found.set(JSON.stringify([entry.project, entry.line]), entry);
    }
  }
  return positions.flatMap(({ project, line }) => found.get(JSON.stringify([project, line])) ?? []);
}

function loadSome(positions: readonly Position[]): Work<readonly Row[]> {
  const params = positions.flatMap(({ project, line }): SqlValue[] => [project, line]);
  const keys = positions.map(() => '(CAST(? AS TEXT), CAST(? AS BIGINT))').join(', ');
  return rows(`SELECT ${entryColumns} FROM entries WHERE (project, line) IN (VALUES ${keys})`, ...params);
}

function projected(entry: Entry, fields: CheckedQuery['fields']): Partial<Entry> {
  return fields ? Object.fromEntries(fields.map((field) => [field, entry[field]])) : entry;
}
