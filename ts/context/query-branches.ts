/**
 * Queries as branches: each is one stretch of an index in the order of the result, so that a page is read without
 * sorting what lies before or after it.
 */
import { rows, type Statement, type Work } from '../storage/storage.js';
import type { Conditions } from './query-arguments.js';
import { compare, compareNames, type Position } from './query-cursor.js';
import { agentFacet, anyByDay, bothFacet, categoryFacet, tagFacet, tagTerm } from './query-derived.js';
import {
  all,
  beyond,
  type Condition,
  condition,
  type Dialect,
  entriesBy,
  hasKinds,
  kindConditions,
  numberOf,
  oneOf,
  ordered,
} from './query-sql.js';

export interface Branch {
  readonly project: string;
  readonly from: string;
  /** Alias of the table in whose order it is read. */
  readonly table: 'e' | 't';
  readonly where: Statement;
}

/** What of a branch is wanted. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  /** Only what comes after it. */
  readonly after?: Position | undefined;
  readonly skip: number;
  readonly take: number;
}

/** Whether counts and branches can answer; otherwise entries are looked at one by one. */
export function isCounted({ pattern, minConfidence, meta, tags, agents, category }: Conditions): boolean {
  if (pattern !== undefined || minConfidence !== undefined || meta.length > 0) return false;
  return tags.length === 0 || (tags.length === 1 && agents.length + category.length === 0);
}

/** The facets that the entries of a counted query have, each entry exactly one of them. */
export function facetsFor({ agents, category, tags }: Conditions): string[] {
  if (tags.length > 0) return tags.map(tagFacet);
  if (category.length === 0) return agents.length === 0 ? [anyByDay] : agents.map(agentFacet);
  if (agents.length === 0) return category.map(categoryFacet);
  return agents.flatMap((agent) => category.map((one) => bothFacet(agent, one)));
}

// A stretch of the index for each kind; beyond so many it is better to read them all.
const mostKinds = 60;

/** The branches of a counted query in one project: those of whichever condition leaves the fewest entries. */
export function* branchesOf(dialect: Dialect, project: string, conditions: Conditions): Work<Branch[]> {
  if (conditions.tags.length > 0) return [tagBranch(project, conditions)];
  const ways = yield* waysTo(dialect, project, conditions);
  const [only] = ways;
  if (ways.length <= 1) return only?.branches ?? [byTime(dialect, project, conditions)];
  let best = { n: Number.POSITIVE_INFINITY, branches: [] as Branch[] };
  for (const { count, branches } of ways) {
    const n = yield* numberOf(count);
    if (n < best.n) best = { n, branches };
  }
  return best.branches;
}

function* waysTo(dialect: Dialect, project: string, conditions: Conditions): Work<Way[]> {
  const { agents, category } = conditions;
  const ways: Way[] = [];
  if (agents.length > 0) ways.push(byColumn(dialect, project, conditions, 'agent', agents));
  if (category.length > 0) ways.push(byColumn(dialect, project, conditions, 'category', category));
  const kinds = hasKinds(conditions) ? yield* kindsOf(project, conditions) : [];
  if (kinds.length > 0 && kinds.length <= mostKinds) ways.push(byKind(dialect, project, conditions, kinds));
  return ways;
}

interface Way {
  /** How many entries the branches hold before further conditions. */
  readonly count: Statement;
  readonly branches: Branch[];
}

function byColumn(
  dialect: Dialect,
  project: string,
  conditions: Conditions,
  column: 'agent' | 'category',
  values: readonly string[],
): Way {
  const facets = values.map(column === 'agent' ? agentFacet : categoryFacet);
  const others =
    column === 'agent' ? oneOf('e.category', conditions.category) : oneOf('e.agent', conditions.agents);
  const branches = values.map((value) =>
    branch(dialect, project, column, condition(`e.${column} = ?`, value), [
      ...kindConditions('e.', conditions),
      others,
    ]),
  );
  return { count: countOf(project, facets), branches };
}

type Kind = readonly [status: string, priority: string, emoji: string];

function byKind(dialect: Dialect, project: string, conditions: Conditions, kinds: readonly Kind[]): Way {
  const others = [oneOf('e.agent', conditions.agents), oneOf('e.category', conditions.category)];
  const branches = kinds.map((kind) =>
    branch(
      dialect,
      project,
      'kind',
      condition('e.status = ? AND e.priority = ? AND e.emoji = ?', ...kind),
      others,
    ),
  );
  return { count: countOf(project, [anyByDay], kindConditions('', conditions)), branches };
}

function byTime(dialect: Dialect, project: string, conditions: Conditions): Branch {
  return branch(dialect, project, 'ts', undefined, kindConditions('e.', conditions));
}

function branch(
  dialect: Dialect,
  project: string,
  index: Parameters<typeof entriesBy>[1],
  key: Condition,
  others: readonly Condition[],
): Branch {
  const where = all(condition('e.project = ?', project), key, ...others);
  return { project, from: entriesBy(dialect, index), table: 'e', where };
}

function tagBranch(project: string, conditions: Conditions): Branch {
  const [tag = ''] = conditions.tags;
  const tagged = condition('t.project = ? AND t.term = ?', project, tagTerm(tag));
  if (!hasKinds(conditions)) return { project, from: 'entry_terms t', table: 't', where: tagged };
  return {
    project,
    from: 'entry_terms t JOIN entries e ON e.project = t.project AND e.line = t.line',
    table: 't',
    where: all(tagged, ...kindConditions('e.', conditions)),
  };
}

/** The kinds that there are and that fit. */
function* kindsOf(project: string, conditions: Conditions): Work<Kind[]> {
  const { sql, params } = all(
    condition('project = ? AND facet = ?', project, anyByDay),
    ...kindConditions('', conditions),
  );
  const found = yield* rows(
    `SELECT status, priority, emoji FROM entry_counts WHERE ${sql} GROUP BY status, priority, emoji`,
    ...params,
  );
  return found.map(({ status, priority, emoji }): Kind => [String(status), String(priority), String(emoji)]);
}

function countOf(project: string, facets: readonly string[], kinds: readonly Condition[] = []): Statement {
  const { sql, params } = all(condition('project = ?', project), oneOf('facet', facets), ...kinds);
  return condition(`SELECT CAST(sum(n) AS bigint) AS n FROM entry_counts WHERE ${sql}`, ...params);
}

// Databases allow some hundreds.
const mostTogether = 50;

function* together(branches: readonly Branch[]): Generator<readonly Branch[]> {
  for (let from = 0; from < branches.length; from += mostTogether)
    yield branches.slice(from, from + mostTogether);
}

/** How many entries the branches have in a stretch of time. */
export function* countEntries(branches: readonly Branch[], fromMs: number, toMs: number): Work<number> {
  let n = 0;
  for (const some of together(branches)) {
    const counts = some.map(({ from, table, where }) => {
      const { sql, params } = all(where, condition(`${table}.ts >= ? AND ${table}.ts <= ?`, fromMs, toMs));
      return condition(`(SELECT count(*) FROM ${from} WHERE ${sql})`, ...params);
    });
    n += yield* numberOf({
      sql: `SELECT ${counts.map(({ sql }) => sql).join(' + ')} AS n`,
      params: counts.flatMap(({ params }) => params),
    });
  }
  return n;
}

/** The entries of a stretch, merged in the order of the query. */
export function* readBranches(
  branches: readonly Branch[],
  stretch: Stretch,
  descending: boolean,
): Work<Position[]> {
  const [only] = branches;
  if (only && branches.length === 1) return yield* readOne(only, stretch, descending);
  const whole = { ...stretch, skip: 0, take: stretch.skip + stretch.take };
  const found: Position[] = [];
  for (const some of together(branches)) {
    const parts = some.map((one) => selectOf(one, whole, descending));
    const sql = parts.map((part) => `SELECT * FROM (${part.sql}) AS part`).join(' UNION ALL ');
    found.push(...positionsOf(yield* rows(sql, ...parts.flatMap(({ params }) => params))));
  }
  return inOrder(found, descending).slice(stretch.skip, stretch.skip + stretch.take);
}

function* readOne(one: Branch, stretch: Stretch, descending: boolean): Work<Position[]> {
  const { sql, params } = selectOf(one, stretch, descending);
  return positionsOf(yield* rows(sql, ...params));
}

function selectOf(one: Branch, stretch: Stretch, descending: boolean): Statement {
  const { project, from, table, where } = one;
  const { after, skip, take } = stretch;
  const { fromMs, toMs } = bounded(stretch, descending);
  const { sql, params } = all(
    where,
    condition(`${table}.ts >= ? AND ${table}.ts <= ?`, fromMs, toMs),
    after && beyond(table, descending, after, comesLater(project, after.project, descending)),
  );
  const text = `SELECT ${table}.ts, ${table}.line, ${table}.project FROM ${from} WHERE ${sql}
    ${ordered(table, descending)} LIMIT ?`;
  return skip === 0 ? condition(text, ...params, take) : condition(`${text} OFFSET ?`, ...params, take, skip);
}

/** The times of what comes after a position too: databases go by one bound of an index only. */
function bounded({ fromMs, toMs, after }: Stretch, descending: boolean): { fromMs: number; toMs: number } {
  if (!after) return { fromMs, toMs };
  return descending
    ? { fromMs, toMs: Math.min(toMs, after.ts) }
    : { fromMs: Math.max(fromMs, after.ts), toMs };
}

/** Of entries with the same time and line. */
function comesLater(project: string, than: string, descending: boolean): boolean {
  return descending ? compareNames(project, than) < 0 : compareNames(project, than) > 0;
}

export function positionsOf(found: readonly Readonly<Record<string, unknown>>[]): Position[] {
  return found.map(({ ts, line, project }) => ({
    ts: Number(ts),
    line: Number(line),
    project: String(project),
  }));
}

export function inOrder(positions: Position[], descending: boolean): Position[] {
  return positions.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
}
