/** Logs to query. */
import { randomUUID } from 'node:crypto';
import { type Entry, emojiOf, priorityOf } from '../../../ts/context/entry.js';
import { insertEntries } from '../../../ts/context/entry-rows.js';
import { contextMigrations } from '../../../ts/context/schema.js';
import { rows, type Storage } from '../../../ts/storage/storage.js';

export const noon = Date.UTC(2026, 0, 15, 12);

export type Draft = Partial<Omit<Entry, 'line'>>;

/** Half of them lie in one second, the others over two hours. */
export function dense(i: number): Draft {
  return {
    ts: noon + (i % 2 === 0 ? i * 6000 : (i % 7) * 150),
    status: (['info', 'warn', 'bug'] as const)[i % 3] ?? 'info',
    agent: `agent-${i % 5}`,
    category: [null, 'c1', 'c2', 'c3'][i % 4] ?? null,
    project: i % 10 === 9 ? 'q' : 'p',
  };
}

/** A database with the tables, and what adds entries to it. */
export class Logs {
  readonly entries: Entry[] = [];
  readonly #lines = new Map<string, number>();
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  migrate(): Promise<void> {
    return this.#storage.migrate(contextMigrations);
  }

  /** Empties them. */
  async clear(): Promise<void> {
    this.entries.length = 0;
    this.#lines.clear();
    const sqlite = this.#storage.dialect === 'sqlite';
    await this.#storage.write(function* () {
      for (const table of ['entries', 'metrics', 'entry_counts', 'entry_terms'])
        yield* rows(`DELETE FROM ${table}`);
      if (sqlite) yield* rows("INSERT INTO entry_text (entry_text) VALUES ('rebuild')");
    });
  }

  /** They were removed by somebody else. */
  forget(project: string): void {
    const left = this.entries.filter((entry) => entry.project !== project);
    this.entries.splice(0, this.entries.length, ...left);
    this.#lines.delete(project);
  }

  /** Adds entries to the ends of their projects; those of one project with one call of `insertEntries`. */
  async add(...drafts: Draft[]): Promise<Entry[]> {
    const added: Entry[] = [];
    for (const draft of drafts) added.push(this.#entry(draft));
    await this.#storage.write(function* () {
      for (const project of new Set(added.map((entry) => entry.project))) {
        yield* rows(
          `INSERT INTO metrics (project, entries, info, success, warn, error, bug, plan, last_entry_at, head)
           VALUES (?, 0, 0, 0, 0, 0, 0, 0, NULL, '') ON CONFLICT (project) DO NOTHING`,
          project,
        );
        yield* insertEntries(added.filter((entry) => entry.project === project));
      }
    });
    return added;
  }

  #entry(draft: Draft): Entry {
    const { project = 'p', status = 'info' } = draft;
    const line = (this.#lines.get(project) ?? 0) + 1;
    this.#lines.set(project, line);
    const entry = {
      id: `${project}-${line}`,
      project,
      line,
      ts: noon + line * 1000,
      agent: 'ann',
      session_id: null,
      status,
      emoji: emojiOf[status],
      priority: priorityOf[status],
      category: null,
      tags: [],
      confidence: null,
      message: `message ${line}`,
      meta: {},
      token: '1',
      sha256: randomUUID().replaceAll('-', '').repeat(2),
      ...draft,
    };
    this.entries.push(entry);
    return entry;
  }
}
