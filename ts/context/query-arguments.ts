/** Checks of the arguments of queries, and what they come to. */
import {
  checkBoolean,
  checkChoice,
  checkFields,
  checkInteger,
  checkNumber,
  checkSignal,
  checkText,
  refuse,
} from '../arguments.js';
import { type Entry, entryPriorities, entryStatuses, type MetaValue } from './entry.js';
import { type Cursor, fingerprint, readCursor } from './query-cursor.js';
import { metaText } from './query-derived.js';
import { type Pattern, patternOf } from './query-pattern.js';
import { earliestMs, latestMs, timeOf } from './query-time.js';
import { type EntryFilter, type EntryQuery, type RecentQuery, textModes } from './query-types.js';

const mostPageSize = 200;
const mostValues = 100;
const mostTextLength = 10_000;

export const entryFields: readonly (keyof Entry)[] = [
  'id',
  'project',
  'line',
  'ts',
  'agent',
  'session_id',
  'status',
  'emoji',
  'priority',
  'category',
  'tags',
  'confidence',
  'message',
  'meta',
  'token',
  'sha256',
];
const filterFields: readonly (keyof EntryFilter)[] = [
  'start',
  'end',
  'message',
  'mode',
  'caseSensitive',
  'status',
  'agents',
  'emoji',
  'priority',
  'category',
  'tags',
  'meta',
  'minConfidence',
];
const pagingFields = ['page', 'pageSize', 'limit', 'cursor', 'fields', 'signal'];
export const queryFields = ['project', 'scope', 'order', ...filterFields, ...pagingFields];
export const recentFields = ['project', 'n', 'filter', ...pagingFields];

/** What entries must be like; an empty list is no condition. Times are inclusive. */
export interface Conditions {
  readonly fromMs: number;
  readonly toMs: number;
  readonly status: readonly string[];
  readonly agents: readonly string[];
  readonly emoji: readonly string[];
  readonly priority: readonly string[];
  readonly category: readonly string[];
  readonly tags: readonly string[];
  /** Keys with the texts of their values. */
  readonly meta: readonly (readonly [key: string, text: string])[];
  readonly minConfidence: number | undefined;
  readonly pattern: Pattern | undefined;
}

/** A query that has been checked. */
export interface CheckedQuery {
  /** Undefined for those of all projects. */
  readonly project: string | undefined;
  readonly conditions: Conditions;
  readonly descending: boolean;
  readonly page: number;
  readonly pageSize: number;
  readonly limit: number;
  readonly cursor: Cursor | undefined;
  /** Of what a cursor belongs to. */
  readonly fingerprint: string;
  /** The same for all queries with these conditions. */
  readonly search: string;
  /** Undefined for all. */
  readonly fields: readonly (keyof Entry)[] | undefined;
  readonly signal: AbortSignal | undefined;
}

export function checkQuery(query: EntryQuery): CheckedQuery {
  checkFields('query', query, queryFields);
  const scope = checkChoice('scope', query.scope, 'project', ['project', 'all']);
  const project = query.project === undefined ? undefined : checkName('project', query.project);
  if (scope === 'project' && project === undefined)
    refuse('project', undefined, "the name of a project unless scope is 'all'");
  if (scope === 'all' && project !== undefined) refuse('project', project, "left out when scope is 'all'");
  const order = checkChoice('order', query.order, 'desc', ['desc', 'asc']);
  return checked(query, project, checkConditions(query), order === 'desc');
}

export function checkRecent(query: RecentQuery): CheckedQuery {
  checkFields('query', query, recentFields);
  const { project, n, filter = {}, limit = n, ...paging } = query;
  if (n !== undefined && limit !== n) refuse('n', n, 'the same as limit, or left out');
  checkFields('filter', filter, filterFields);
  // By itself it says how large a page is: of what lies beyond it, people want to know that it is there.
  const size = limit === undefined ? {} : { pageSize: Math.min(checkLimit(limit), mostPageSize) };
  const alone = limit === undefined || (limit <= mostPageSize && paging.pageSize === undefined);
  const cut = alone ? size : { ...size, limit };
  return checked({ ...cut, ...paging }, checkName('project', project), checkConditions(filter), true);
}

const most = Number.MAX_SAFE_INTEGER;

function checkLimit(limit: number | undefined): number {
  return checkInteger('limit', limit, most, { min: 1, max: most });
}

function checked(
  paging: Pick<EntryQuery, 'page' | 'pageSize' | 'limit' | 'cursor' | 'fields' | 'signal'>,
  project: string | undefined,
  conditions: Conditions,
  descending: boolean,
): CheckedQuery {
  const limit = checkLimit(paging.limit);
  const pageSize = checkInteger('pageSize', paging.pageSize, Math.min(50, limit), {
    min: 1,
    max: mostPageSize,
  });
  // So far that the first entry of the last page still has a number.
  const page = checkInteger('page', paging.page, 1, { min: 1, max: Math.floor(most / mostPageSize) });
  const mark = fingerprint([project ?? null, conditions, descending, pageSize, limit]);
  if (paging.cursor !== undefined && paging.page !== undefined)
    refuse('cursor', paging.cursor, 'left out when page is given');
  const cursor = paging.cursor === undefined ? undefined : readCursor(paging.cursor, mark);
  return {
    project,
    conditions,
    descending,
    page: cursor?.page ?? page,
    pageSize,
    limit,
    cursor,
    fingerprint: mark,
    search: fingerprint(conditions),
    fields: checkEntryFields(paging.fields),
    signal: checkSignal('signal', paging.signal),
  };
}

function checkConditions(filter: EntryFilter): Conditions {
  const fromMs = timeOf('start', filter.start, 'first') ?? earliestMs;
  const toMs = timeOf('end', filter.end, 'last') ?? latestMs;
  if (fromMs > toMs) refuse('start', filter.start, `not after end, which is ${String(filter.end)}`);
  const confidence = filter.minConfidence;
  return {
    fromMs,
    toMs,
    status: checkChoices('status', filter.status, entryStatuses),
    agents: checkTexts('agents', filter.agents),
    emoji: checkTexts('emoji', filter.emoji),
    priority: checkChoices('priority', filter.priority, entryPriorities),
    category: checkTexts('category', filter.category),
    tags: checkTexts('tags', filter.tags),
    meta: checkMeta(filter.meta),
    minConfidence:
      confidence === undefined ? undefined : checkNumber('minConfidence', confidence, 0, { min: 0, max: 1 }),
    pattern: checkPattern(filter),
  };
}

function checkPattern({ message, mode, caseSensitive }: EntryFilter): Pattern | undefined {
  const how = checkChoice('mode', mode, 'substring', textModes);
  const sensitive = checkBoolean('caseSensitive', caseSensitive, false);
  if (message === undefined) return undefined;
  return patternOf(checkOneText('message', message), how, sensitive);
}

function checkMeta(meta: unknown): [key: string, text: string][] {
  if (meta === undefined) return [];
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) refuse('meta', meta, 'an object');
  const pairs = Object.entries(meta);
  if (pairs.length > mostValues) refuse('meta', meta, `an object of at most ${mostValues} keys`);
  return pairs.map(([key, value]): [string, string] => [
    checkOneText('meta', key),
    checkOneText(`meta.${key}`, metaText(checkValue(`meta.${key}`, value, 20))),
  ]);
}

/** That a value is JSON, no deeper than so. */
function checkValue(field: string, value: unknown, depth: number): MetaValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value !== 'object' || depth === 0) return refuse(field, value, 'a value that JSON knows');
  if (Array.isArray(value)) return value.map((one) => checkValue(field, one, depth - 1));
  const pairs = Object.entries(value).map(([key, one]) => [key, checkValue(field, one, depth - 1)]);
  return Object.fromEntries(pairs) as MetaValue;
}

function checkEntryFields(fields: unknown): (keyof Entry)[] | undefined {
  const names = checkChoices('fields', fields, entryFields);
  return names.length === 0 ? undefined : names;
}

function checkChoices<T extends string>(field: string, values: unknown, choices: readonly T[]): T[] {
  const found = listOf(field, values).map((value) => {
    const one = choices.find((choice) => choice === value);
    return one ?? refuse(field, value, `of ${choices.join(', ')}`);
  });
  return asSet(found);
}

function checkTexts(field: string, values: unknown): string[] {
  return asSet(listOf(field, values).map((value) => checkOneText(field, value)));
}

/** The order means nothing. */
function asSet<T extends string>(values: readonly T[]): T[] {
  return [...new Set(values)].sort();
}

function listOf(field: string, values: unknown): unknown[] {
  if (values === undefined) return [];
  const list: unknown[] = Array.isArray(values) ? values : [values];
  if (list.length > mostValues) refuse(field, values, `at most ${mostValues} values`);
  return list;
}

function checkName(field: string, value: unknown): string {
  const name = checkOneText(field, value);
  return name === '' ? refuse(field, value, 'the name of a project') : name;
}

/** Databases hold no other text, so that looking for it would say something about them at best. */
function checkOneText(field: string, value: unknown): string {
  const text = checkText(field, value ?? null, '', mostTextLength);
  const sound = !text.includes('\0') && !/\p{Surrogate}/u.test(text);
  return sound ? text : refuse(field, value, 'well-formed Unicode without the character 0');
}
