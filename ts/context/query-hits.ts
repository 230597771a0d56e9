/** Searches that an index of terms or of trigrams narrows to few entries. */
import { type Row, rows, type Statement, type Work } from '../storage/storage.js';
import type { CheckedQuery, Conditions } from './query-arguments.js';
import type { Pattern, TextPattern } from './query-pattern.js';
import { all, condition, type Dialect, numberOf, oneOf, otherConditions, termSets } from './query-sql.js';

// Beyond so many candidates it is better to read the log in order.
const mostCandidates = 10_000;

/**
 * Entries of which an index says that they may match, and all other conditions that they do, in no order; with their
 * messages when these are still to be matched.
 * @returns undefined when no index narrows the search enough
 */
export function* findHits(
  dialect: Dialect,
  projects: readonly string[],
  query: CheckedQuery,
): Work<Row[] | undefined> {
  const { conditions } = query;
  const candidates =
    (yield* byTerms(projects, conditions)) ?? (yield* byTrigrams(dialect, conditions.pattern));
  if (!candidates) return undefined;
  const { fromMs, toMs, pattern } = conditions;
  const fits = all(
    oneOf('e.project', projects),
    condition('e.ts >= ? AND e.ts <= ?', fromMs, toMs),
    ...otherConditions(dialect, conditions),
  );
  const message = pattern?.mode === 'regex' ? ', e.message' : '';
  const found = yield* rows(
    `SELECT e.ts, e.line, e.project${message}, CASE WHEN ${fits.sql} THEN 1 ELSE 0 END AS fits
     FROM ${candidates.sql} LIMIT ?`,
    ...fits.params,
    ...candidates.params,
    mostCandidates + 1,
  );
  return found.length > mostCandidates ? undefined : found.filter(({ fits }) => Number(fits) === 1);
}

/** The rarest of the sets of terms. */
function* byTerms(projects: readonly string[], conditions: Conditions): Work<Statement | undefined> {
  let fewest = mostCandidates + 1;
  let rarest: Statement | undefined;
  for (const terms of termSets(conditions)) {
    const has = all(
      oneOf('t.project', projects),
      oneOf('t.term', terms),
      condition('t.ts >= ? AND t.ts <= ?', conditions.fromMs, conditions.toMs),
    );
    const some = condition(`SELECT 1 FROM entry_terms t WHERE ${has.sql} LIMIT ?`, ...has.params, fewest);
    const n = yield* numberOf({
      sql: `SELECT count(*) AS n FROM (${some.sql}) AS candidates`,
      params: some.params,
    });
    if (n >= fewest) continue;
    fewest = n;
    // An entry may have several of the terms.
    rarest = condition(
      `(SELECT DISTINCT t.project, t.line FROM entry_terms t WHERE ${has.sql}) AS t
         JOIN entries e ON e.project = t.project AND e.line = t.line`,
      ...has.params,
    );
  }
  return rarest;
}

function* byTrigrams(dialect: Dialect, pattern: Pattern | undefined): Work<Statement | undefined> {
  if (pattern?.mode !== 'substring') return undefined;
  return dialect === 'sqlite' ? bySqlite(pattern) : yield* byPostgres(pattern);
}

function bySqlite({ folded }: TextPattern): Statement | undefined {
  if ([...folded].length < 3) return undefined;
  const phrase = `"${folded.replaceAll('"', '""')}"`;
  return condition(
    'entries e WHERE e.seq IN (SELECT rowid FROM entry_text WHERE entry_text MATCH ? LIMIT ?)',
    phrase,
    mostCandidates + 1,
  );
}

/** The index knows the trigrams of letters and digits only, and perhaps it is not there. */
function* byPostgres({ folded }: TextPattern): Work<Statement | undefined> {
  if (!/[\p{L}\p{N}]{3}/u.test(folded)) return undefined;
  const [index] = yield* rows("SELECT 1 AS is_there WHERE to_regclass('entries_folded') IS NOT NULL");
  if (!index) return undefined;
  // Without knowing the pattern, the planner may think little of the index; this ends with the transaction.
  yield* rows('SET LOCAL enable_seqscan = off');
  return condition('entries e WHERE e.folded LIKE ?', `%${folded.replace(/[\\%_]/g, '\\$&')}%`);
}
