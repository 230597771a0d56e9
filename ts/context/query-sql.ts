/** Conditions of queries as SQL about `entries e`. */
import { rows, type SqlValue, type Statement, type Storage, type Work } from '../storage/storage.js';
import type { Conditions } from './query-arguments.js';
import type { Position } from './query-cursor.js';
import { messageTerm, metaTerm, tagTerm } from './query-derived.js';
import type { TextPattern } from './query-pattern.js';

export type Dialect = Storage['dialect'];
export type Condition = Statement | undefined;

export function condition(sql: string, ...params: SqlValue[]): Statement {
  return { sql, params };
}

/** All of them; at least one is there. */
export function all(...conditions: readonly Condition[]): Statement {
  const there = conditions.filter((one) => one !== undefined);
  return { sql: there.map(({ sql }) => sql).join(' AND '), params: there.flatMap(({ params }) => params) };
}

/** @returns undefined, no condition, for no values */
export function oneOf(column: string, values: readonly string[]): Condition {
  if (values.length === 0) return undefined;
  if (values.length === 1) return { sql: `${column} = ?`, params: values };
  return { sql: `${column} IN (${values.map(() => '?').join(', ')})`, params: values };
}

/** @param table with a dot, or nothing */
export function kindConditions(table: string, { status, priority, emoji }: Conditions): Condition[] {
  return [
    oneOf(`${table}status`, status),
    oneOf(`${table}priority`, priority),
    oneOf(`${table}emoji`, emoji),
  ];
}

/** Whether a condition of kind is there. */
export function hasKinds({ status, priority, emoji }: Conditions): boolean {
  return status.length + priority.length + emoji.length > 0;
}

/** Names the index to use. PostgreSQL needs no such advice and takes none. */
export function entriesBy(dialect: Dialect, index: 'ts' | 'kind' | 'agent' | 'category'): string {
  return dialect === 'sqlite' ? `entries e INDEXED BY entries_${index}` : 'entries e';
}

/** Before or after a position in the order of the query, within one project. */
export function beyond(
  table: string,
  descending: boolean,
  { ts, line }: Position,
  inclusive = false,
): Statement {
  const sign = `${descending ? '<' : '>'}${inclusive ? '=' : ''}`;
  return condition(`(${table}.ts, ${table}.line) ${sign} (?, ?)`, ts, line);
}

export function ordered(table: string, descending: boolean): string {
  const way = descending ? 'DESC' : 'ASC';
  return `ORDER BY ${table}.ts ${way}, ${table}.line ${way}`;
}

/** Sets of terms: of each, an entry has at least one. */
export function termSets({ pattern, tags, meta }: Conditions): string[][] {
  const sets = meta.map(([key, text]) => [metaTerm(key, text)]);
  if (tags.length > 0) sets.push(tags.map(tagTerm));
  if (pattern?.mode === 'exact') sets.push([messageTerm(pattern.folded)]);
  return sets;
}

/** All that databases can decide: everything but the project, the time and regular expressions. */
export function otherConditions(dialect: Dialect, conditions: Conditions): Condition[] {
  const { agents, category, minConfidence, pattern } = conditions;
  const confident = minConfidence === undefined ? undefined : condition('e.confidence >= ?', minConfidence);
  return [
    ...kindConditions('e.', conditions),
    oneOf('e.agent', agents),
    oneOf('e.category', category),
    confident,
    ...termSets(conditions).map(hasTerm),
    pattern === undefined || pattern.mode === 'regex' ? undefined : textCondition(dialect, pattern),
  ];
}

function hasTerm(terms: readonly string[]): Statement {
  const { sql, params } = all(oneOf('t.term', terms));
  return condition(
    `EXISTS (SELECT 1 FROM entry_terms t
       WHERE t.project = e.project AND ${sql} AND t.ts = e.ts AND t.line = e.line)`,
    ...params,
  );
}

function textCondition(dialect: Dialect, { mode, text, folded, caseSensitive }: TextPattern): Statement {
  const [column, wanted] = caseSensitive ? ['e.message', text] : ['e.folded', folded];
  if (mode === 'exact') return condition(`${column} = ?`, wanted);
  return condition(`${dialect === 'sqlite' ? 'instr' : 'strpos'}(${column}, ?) > 0`, wanted);
}

/** The number that a statement counts as `n`. */
export function* numberOf({ sql, params }: Statement): Work<number> {
  const [row] = yield* rows(sql, ...params);
  return Number(row?.n ?? 0);
}
