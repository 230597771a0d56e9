/** A progress log over a folder and a database of its own, for one test. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Entry } from '../../../ts/context/entry.js';
import { entryColumns, entryOf } from '../../../ts/context/entry-rows.js';
import { type EntryInput, newEntries } from '../../../ts/context/new-entry.js';
import { ProgressLog, type ProgressLogOptions } from '../../../ts/context/progress-log.js';
import type { Project } from '../../../ts/context/types.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { rows, type SqlValue, type Storage } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';

export const startMs = Date.UTC(2026, 1, 3, 4, 5, 6, 789);

export class Rig {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-log-')));
  readonly #backend: TestDatabase;
  readonly #closing: (() => Promise<void>)[] = [];

  constructor(backend: TestDatabase) {
    this.#backend = backend;
  }

  async storage(): Promise<Storage> {
    return this.#backend.connect();
  }

  /** As another process would open it. */
  async open(options: Partial<ProgressLogOptions> = {}, storage?: Storage): Promise<ProgressLog> {
    const maasl = options.maasl ?? (await Maasl.open({ database: storage ?? (await this.storage()) }));
    const log = await ProgressLog.open({ now: () => startMs, ...options, maasl });
    this.#closing.push(async () => {
      await log.close();
      await maasl.close();
    });
    return log;
  }

  project(name = 'apollo'): Project {
    const root = join(this.folder, name);
    mkdirSync(root, { recursive: true });
    return {
      name,
      root,
      progress_log_path: join(root, '.stomp', name, 'PROGRESS_LOG.md'),
      description: '',
      tags: [],
      meta: {},
      created_at: 0,
      updated_at: 0,
    };
  }

  async close(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
    await this.#backend.close();
    rmSync(this.folder, { recursive: true });
  }
}

export const ann = { agentId: 'ann', sessionId: 'ann-1' };

export const write = (log: ProgressLog, project: Project, ...items: (string | EntryInput)[]) =>
  log.append(project, newEntries(items, startMs), ann);

/** The lines of the file, its header among them. */
export function linesOf(project: Project): string[] {
  const text = readFileSync(project.progress_log_path, 'utf8');
  if (!text.endsWith('\n')) throw new Error(`the last line of the log has no end: ${text.slice(-100)}`);
  return text.slice(0, -1).split('\n');
}

export function filesOf(project: Project): string[] {
  return readdirSync(dirname(project.progress_log_path)).sort();
}

export async function entriesOf(storage: Storage, project: Project): Promise<Entry[]> {
  const found = await query(
    storage,
    `SELECT ${entryColumns} FROM entries WHERE project = ? ORDER BY line`,
    project.name,
  );
  return found.map(entryOf);
}

export function query(storage: Storage, sql: string, ...params: SqlValue[]) {
  return storage.read(() => rows(sql, ...params));
}

export function change(storage: Storage, sql: string, ...params: SqlValue[]) {
  return storage.write(() => rows(sql, ...params));
}
