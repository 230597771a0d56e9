import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateLegacyState } from '../../../ts/context/legacy.js';
import { contextMigrations } from '../../../ts/context/schema.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { rows, type Storage } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { runWorker } from './worker.js';

interface Place {
  readonly setup: { readonly database: string; readonly schema?: string };
  open(): Storage;
}

const before = JSON.stringify({ current_project: 'web', projects: { api: { root: '/' } }, kept: [1] });

async function counts(storage: Storage): Promise<number[]> {
  const tables = ['projects', 'agent_projects', 'agent_sessions', 'agent_project_events'];
  return storage.read(function* () {
    const all: number[] = [];
    for (const table of tables) {
      const [row] = yield* rows(`SELECT count(*) AS n FROM ${table}`);
      all.push(Number(row?.n));
    }
    return all;
  });
}

const none = [0, 0, 0, 0];
const complete = [2, 1, 1, 3];

/** The rows of one or the other, and the file of the old one until the rows are there. */
async function expectOldOrNew(storage: Storage, path: string): Promise<void> {
  const text = readFileSync(path, 'utf8');
  const isCleared = !text.includes('current_project');
  if (!isCleared) expect(text).toBe(before);
  expect(isCleared ? [complete] : [none, complete]).toContainEqual(await counts(storage));
}

async function expectNew(storage: Storage, path: string): Promise<void> {
  expect(await counts(storage)).toEqual(complete);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ projects: { api: { root: '/' } }, kept: [1] });
  const files = readdirSync(dirname(path)).sort();
  expect(files).toEqual(['state.json', expect.stringContaining('state.json.legacy-')]);
  expect(readFileSync(join(dirname(path), files[1] ?? ''), 'utf8')).toBe(before);
}

function killsSuite(where: string, place: (folder: string, n: number) => Place): void {
  it(`leaves the old state or the new one, wherever it is killed, ${where}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-legacy-'));
    let steps = 0;
    for (let killAt = 0; killAt <= steps; killAt++) {
      const path = join(folder, `${killAt}`, '.stomp', 'state.json');
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, before);
      const { setup, open } = place(folder, killAt);
      const storage = open();
      await storage.migrate(contextMigrations);
      const made = await runWorker('legacy.mjs', { ...setup, path, killAt });
      if (killAt === 0) steps = made ?? 0;
      else expect([killAt, made]).toEqual([killAt, undefined]);

      await expectOldOrNew(storage, path);
      await migrateLegacyState({ storage, path });
      await expectNew(storage, path);
      await storage.close();
    }
    expect(steps).toBeGreaterThan(25);
    rmSync(folder, { recursive: true });
  });

  it(`happens once when several processes start at once, ${where}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-legacy-'));
    const path = join(folder, '.stomp', 'state.json');
    mkdirSync(dirname(path));
    writeFileSync(path, before);
    const { setup, open } = place(folder, -1);
    const storage = open();
    await storage.migrate(contextMigrations);
    const starts = Array.from({ length: 4 }, () => runWorker('legacy.mjs', { ...setup, path, killAt: 0 }));
    expect(await Promise.all(starts)).not.toContain(undefined);
    await expectNew(storage, path);
    await storage.close();
    rmSync(folder, { recursive: true });
  });
}

describe('migration of a global project', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.close());

  killsSuite('on SQLite', (folder, n) => {
    const database = join(folder, `${n}.db`);
    return { setup: { database }, open: () => new SqliteStorage({ path: database }) };
  });
  killsSuite('on PostgreSQL', (_folder, n) => {
    const schema = `legacy_kills_${n + 1}`;
    return {
      setup: { database: server.url, schema },
      open: () => new PostgresStorage({ url: server.url, schema }),
    };
  });
});
