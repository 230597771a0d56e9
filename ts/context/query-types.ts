/** What queries of the progress log take and give. Results have the names that they have on the wire. */
import type { Entry, EntryPriority, EntryStatus, MetaValue } from './entry.js';

/** A time: milliseconds since 1970, a date `YYYY-MM-DD`, or an ISO date-time (UTC unless it names an offset). */
export type QueryTime = number | string;

/** One value, or several of which any will do; an empty list is no condition. */
export type OneOrMore<T> = T | readonly T[];

/** What entries must be like, all of it at once. */
export interface EntryFilter {
  /** Not before this. */
  readonly start?: QueryTime;
  /** Not after this. The whole of what it names belongs to it: the day of a date, the second of `12:00:07`. */
  readonly end?: QueryTime;
  /** What the message contains, is, or matches. */
  readonly message?: string;
  /** @default 'substring' */
  readonly mode?: TextMode;
  /** Otherwise letters are compared without case, in all of Unicode. @default false */
  readonly caseSensitive?: boolean;
  readonly status?: OneOrMore<EntryStatus>;
  readonly agents?: OneOrMore<string>;
  readonly emoji?: OneOrMore<string>;
  readonly priority?: OneOrMore<EntryPriority>;
  readonly category?: OneOrMore<string>;
  /** Any of them. */
  readonly tags?: OneOrMore<string>;
  /** Each key must have this value, compared as text: the string "1" is the number 1. */
  readonly meta?: Readonly<Record<string, MetaValue>>;
  /** From 0 to 1. Entries without a confidence have less than any. */
  readonly minConfidence?: number;
}

/** `regex` has the syntax of RE2 and finds a match anywhere in the message. */
export const textModes = ['substring', 'regex', 'exact'] as const;
/** How a text is meant. */
export type TextMode = (typeof textModes)[number];

/** How the result is cut. */
export interface Paging {
  /** From 1. Excludes `cursor`. @default 1 */
  readonly page?: number;
  /** From 1 to 200. @default 50 */
  readonly pageSize?: number;
  /** Entries beyond so many, in the order of the query, are left out as if they did not match. */
  readonly limit?: number;
  /** `next_cursor` of the page before this one, of the same query. */
  readonly cursor?: string;
  /** Of each entry only these. */
  readonly fields?: OneOrMore<keyof Entry>;
  /** Ends a long search. */
  readonly signal?: AbortSignal;
}

export interface EntryQuery extends EntryFilter, Paging {
  /** Whose log; of one that does not exist, nothing is found. Left out for `scope: 'all'` only. */
  readonly project?: string;
  /** @default 'project' */
  readonly scope?: 'project' | 'all';
  /** By time, then by line, then by project. @default 'desc', the newest first */
  readonly order?: 'desc' | 'asc';
}

export interface RecentQuery extends Paging {
  readonly project: string;
  /** The same as `limit`: so many, up to 200, come on one page unless `pageSize` says otherwise. */
  readonly n?: number;
  readonly filter?: EntryFilter;
}

/** A page of entries. */
export interface EntryPage {
  readonly entries: readonly Partial<Entry>[];
  /** Its number, from 1. */
  readonly page: number;
  readonly page_size: number;
  /** How many entries match, at most `limit`. Exact. */
  readonly total: number;
  readonly pages: number;
  readonly has_more: boolean;
  /** Where the next page begins, whatever is appended meanwhile; null on the last one. */
  readonly next_cursor: string | null;
}
