/** One script on both databases: every answer and every error is the same, letter by letter. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentContextManager } from '../../../ts/context/agent-context-manager.js';
import { StompError } from '../../../ts/errors.js';
import { Maasl } from '../../../ts/guard/index.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';

let server: PostgresServer;
let home: string;
beforeAll(async () => {
  server = await startPostgres();
  home = mkdtempSync(join(tmpdir(), 'stomp-parity-'));
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true });
});

type Step = (manager: AgentContextManager) => Promise<unknown>;

const begin = Date.UTC(2026, 0, 2, 3, 4, 5);
const hour = 3_600_000;
const statuses = ['info', 'success', 'warn', 'error', 'bug', 'plan'] as const;
const texts = [
  'plain',
  'Ünïcödé and ﬁ ligature, İstanbul, ΣΊΣΥΦΟΣ',
  'a | b; c = d',
  'two\nlines\r\nand \u2028 more',
  '100% _wild_ \\ "quoted" \'single\'',
  '🧪 example 🧪',
];

/** Sessions, projects, conflicts, entries, queries; what is right and what is wrong. */
function* script(root: string, tick: (ms: number) => void): Generator<readonly [what: string, step: Step]> {
  // The state file follows within 50 ms and tells when it was written: in time, not as slow as the database is.
  const later = (ms: number): Step => {
    return async (manager) => {
      const drift = await manager.verify();
      tick(ms);
      return drift;
    };
  };
  for (const name of ['P', 'Q', 'Größe & Ziel'])
    yield [`create ${name}`, (m) => m.createProject({ name, root, meta: { b: 1, a: [null, true, 'x'] } })];
  yield ['create twice', (m) => m.createProject({ name: 'P', root })];
  yield ['create badly', (m) => m.createProject({ name: '', root })];
  yield ['no session', (m) => m.setCurrentProject('A', 'P', {} as never)];
  yield ['unknown session', (m) => m.setCurrentProject('A', 'P', { sessionId: 'a1' })];
  yield ['start', (m) => m.startSession('A', { sessionId: 'a1', metadata: { z: 1, y: 'ä' } })];
  yield ['start another', (m) => m.startSession('B', { sessionId: 'b1' })];
  yield ['foreign session', (m) => m.setCurrentProject('B', 'P', { sessionId: 'a1' })];
  yield ['foreign id', (m) => m.startSession('B', { sessionId: 'a1' })];
  yield ['set too new', (m) => m.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 3 })];
  yield ['set', (m) => m.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 0 })];
  yield ['set stale', (m) => m.setCurrentProject('A', 'Q', { sessionId: 'a1', expectedVersion: 0 })];
  yield ['set nowhere', (m) => m.setCurrentProject('A', 'nowhere', { sessionId: 'a1' })];
  yield ['switch', (m) => m.setCurrentProject('A', 'Q', { sessionId: 'a1', updatedBy: 'boss' })];
  yield ['bad version', (m) => m.setCurrentProject('A', 'Q', { sessionId: 'a1', expectedVersion: -1 })];
  for (const [n, message] of texts.entries()) {
    yield ['later', later(60_000)];
    const entry = {
      id: `e${n}`,
      status: statuses[n % 6] ?? 'info',
      tags: ['t', `t${n}`],
      category: 'c',
      timestamp: begin + n * 6 * hour,
    };
    const who = { agentId: 'A', sessionId: 'a1', meta: { n, 'k=;': message } };
    yield [`append ${n}`, (m) => m.appendEntry(message, { ...entry, ...who, confidence: n / 7 })];
    yield [`append ${n} again`, (m) => m.appendEntry(message, { ...entry, ...who, confidence: n / 7 })];
  }
  yield [
    'append as Scribe',
    (m) => m.appendEntry(['x', { message: 'y', id: 'y' }], { project: 'P', id: 'no' }),
  ];
  yield ['append other', (m) => m.appendEntry('other', { id: 'e1', agentId: 'A', sessionId: 'a1' })];
  yield ['append to nothing', (m) => m.appendEntry('x', { project: 'nowhere', sessionId: 'a1' })];
  yield ['append nothing', (m) => m.appendEntry('', { sessionId: 'a1' })];
  yield ['append NUL', (m) => m.appendEntry('a\0b', { sessionId: 'a1' })];
  yield ['append half', (m) => m.appendEntry('a\ud800b', { sessionId: 'a1' })];
  yield ['append much', (m) => m.appendEntry('x'.repeat(65_537), { sessionId: 'a1' })];
  yield ['append badly', (m) => m.appendEntry('x', { sessionId: 'a1', status: 'great' as never })];
  yield [
    'append long ago',
    (m) => m.appendEntry('old', { id: 'old', sessionId: 'a1', timestamp: '1999-12-31T23:59:59.999Z' }),
  ];
  yield ['recent', (m) => m.readRecent({ agentId: 'A', n: 3 })];
  for (const query of queries)
    yield [`query ${JSON.stringify(query)}`, (m) => m.queryEntries({ project: 'Q', ...query } as never)];
  yield ['query everything', (m) => m.queryEntries({ scope: 'all', fields: ['id', 'project', 'ts'] })];
  yield [
    'cursor',
    async (m) => {
      const first = await m.queryEntries({ project: 'Q', pageSize: 2 });
      return [
        first.next_cursor,
        await m.queryEntries({ project: 'Q', pageSize: 2, cursor: first.next_cursor ?? '' }),
      ];
    },
  ];
  yield ['delete', (m) => m.deleteProject('Q')];
  yield ['current', (m) => m.getCurrentProject('A')];
  yield ['gone', (m) => m.queryEntries({ project: 'Q' })];
  yield ['no current', (m) => m.readRecent({ agentId: 'A' })];
  yield ['later', later(900_000)];
  yield ['late', (m) => m.setCurrentProject('A', 'P', { sessionId: 'a1' })];
  yield ['late heartbeat', (m) => m.heartbeat('a1', 'A')];
  yield ['late append', (m) => m.appendEntry('x', { project: 'P', sessionId: 'a1' })];
  yield ['clean up', (m) => m.cleanupExpired()];
  yield ['sessions', (m) => m.listSessions()];
  yield ['end', (m) => m.endSession('b1')];
  yield ['end nothing', (m) => m.endSession('zz')];
  yield ['events', (m) => m.listEvents({ limit: 1000 })];
  yield ['projects', (m) => m.listProjects()];
  yield ['audit', (m) => m.audit()];
  yield ['verify', (m) => m.verify()];
}

const queries: readonly object[] = [
  {},
  { order: 'asc', pageSize: 2, page: 2 },
  { status: ['success', 'warn'] },
  { status: 'great' },
  { message: 'ÜNÏ' },
  { message: 'σίσυφος' },
  { message: 'i\u0307stanbul' },
  { message: '%' },
  { message: 'L', caseSensitive: true },
  { message: '^two\\s', mode: 'regex' },
  { message: '(unclosed', mode: 'regex' },
  { message: 'PLAIN', mode: 'exact' },
  { tags: ['t3', 't4'] },
  { meta: { n: '2' } },
  { minConfidence: 0.5 },
  { start: '2026-01-02', end: '2026-01-02' },
  { start: '2026-13-02' },
  { start: '2026-01-03', end: '2026-01-02' },
  { cursor: 'nonsense' },
  { page: 0 },
  { pageSize: 201 },
  { colour: 'red' },
  { fields: ['message', 'colour'] },
  { emoji: '✅' },
  { priority: ['high', 'critical'], category: 'c', agents: ['A', 'nobody'] },
];

/** What is said of each step; what differs by chance is left out. */
async function transcript(storage: Storage): Promise<string[]> {
  const root = join(home, 'project');
  mkdirSync(root);
  let time = begin;
  const maasl = await Maasl.open({ database: storage });
  const stateFile = join(root, '.stomp/state.json');
  const manager = await AgentContextManager.open({ maasl, cleanUpMs: 0, now: () => time, stateFile });
  const said: string[] = [];
  for (const [what, step] of script(root, (ms) => (time += ms))) {
    const answer = await step(manager).catch((error: unknown) => {
      if (!(error instanceof StompError)) throw error;
      return { error: { ...error.toJSON(), status: error.status, name: error.name } };
    });
    said.push(`${what}: ${JSON.stringify(answer, undefined, 1)}`);
  }
  said.push(readFileSync(stateFile, 'utf8'), readFileSync(join(root, '.stomp/Q/PROGRESS_LOG.md'), 'utf8'));
  await manager.close();
  await maasl.close();
  await storage.close();
  rmSync(root, { recursive: true });
  return said;
}

it('SQLite and PostgreSQL say the same', async () => {
  const sqlite = await transcript(new SqliteStorage({ path: join(home, 'stomp.db') }));
  const postgres = await transcript(new PostgresStorage({ url: server.url }));
  expect(sqlite.length).toBeGreaterThan(80);
  expect(sqlite.filter((line) => line.includes('"error"')).length).toBeGreaterThan(25);
  for (const [n, line] of sqlite.entries()) expect(postgres[n]).toBe(line);
  expect(postgres).toHaveLength(sqlite.length);
});
