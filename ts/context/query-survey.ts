/** What the entries of a project come to, and what the tables derived from them say. */
import { createHash } from 'node:crypto';
import { type Row, rows, type SqlValue, type Work } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { entryColumns, entryOf } from './entry-rows.js';
import { countsOf, termRowsOf } from './query-derived.js';
import { fold } from './query-fold.js';

const together = 1000;

/** All entries of a project, in the order of their lines. */
export function* eachBatch(
  project: string,
  visit: (found: readonly Row[]) => Work<void> | undefined,
): Work<void> {
  let line = 0;
  while (true) {
    const found = yield* rows(
      `SELECT ${entryColumns}, folded FROM entries WHERE project = ? AND line > ? ORDER BY line LIMIT ?`,
      project,
      line,
      together,
    );
    const last = found.at(-1);
    if (!last) return;
    line = Number(last.line);
    const work = visit(found);
    if (work) yield* work;
  }
}

/** A set of rows by a sum that does not depend on their order. */
export class Digest {
  #rows = 0;
  #sum = 0;
  #xor = 0;

  add(row: readonly unknown[]): void {
    const hash = createHash('sha1').update(JSON.stringify(row)).digest();
    this.#rows++;
    this.#sum = (this.#sum + hash.readUInt32LE(0)) >>> 0;
    this.#xor ^= hash.readInt32LE(4);
  }

  toString(): string {
    return `${this.#rows} ${this.#sum} ${this.#xor}`;
  }
}

export class Survey {
  readonly project: string;
  /** Rows of `entry_counts`, by their keys. */
  readonly counts = new Map<string, SqlValue[]>();
  readonly statuses = new Map<string, number>();
  readonly terms = new Digest();
  /** Entries whose folded message is another. */
  readonly misfolded: Entry[] = [];
  last: Entry | undefined;
  latestMs: number | null = null;

  constructor(project: string) {
    this.project = project;
  }

  read(): Work<void> {
    return eachBatch(this.project, (found) => {
      for (const row of found) this.#note(entryOf(row), String(row.folded));
      return undefined;
    });
  }

  #note(entry: Entry, folded: string): void {
    this.last = entry;
    this.latestMs = Math.max(this.latestMs ?? entry.ts, entry.ts);
    this.statuses.set(entry.status, (this.statuses.get(entry.status) ?? 0) + 1);
    if (folded !== fold(entry.message)) this.misfolded.push(entry);
    for (const [, ...row] of termRowsOf(entry)) this.terms.add(row);
    for (const count of countsOf([entry])) this.#addCount(count);
  }

  #addCount(count: SqlValue[]): void {
    const key = keyOf(count);
    const known = this.counts.get(key);
    if (known) known[6] = Number(known[6]) + 1;
    else this.counts.set(key, count);
  }
}

/** Of a row of `entry_counts`. */
export function keyOf(count: readonly SqlValue[]): string {
  return JSON.stringify(count.slice(1, 6));
}

/** What `entry_terms` has. */
export function* termsThere(project: string): Work<Digest> {
  const digest = new Digest();
  let after: [term: string, ts: number, line: number] = ['', Number.MIN_SAFE_INTEGER, 0];
  while (true) {
    const found = yield* rows(
      `SELECT term, ts, line FROM entry_terms WHERE project = ? AND (term, ts, line) > (?, ?, ?)
       ORDER BY term, ts, line LIMIT ?`,
      project,
      ...after,
      together,
    );
    if (found.length === 0) return digest;
    for (const { term, ts, line } of found) {
      after = [String(term), Number(ts), Number(line)];
      digest.add(after);
    }
  }
}
