import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listEvents } from '../../../ts/context/events.js';
import { Projects } from '../../../ts/context/projects.js';
import { contextMigrations } from '../../../ts/context/schema.js';
import { Sessions } from '../../../ts/context/sessions.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { postgresDatabase } from '../../servers/databases.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { Relay } from '../../servers/relay.js';
import { agentContextSuite } from '../../unit/context/agent-context.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

agentContextSuite('on PostgreSQL', () => postgresDatabase(server.url));

it('a session is begun, and a project deleted, once, when the answer to the commit is lost', async () => {
  const relay = await Relay.start(Number(new URL(server.url).port));
  const url = new URL(server.url);
  url.port = `${relay.port}`;
  const storage = new PostgresStorage({ url: url.href, schema: 'lost_commit' });
  const lost = async <T>(work: () => Promise<T>): Promise<T> => {
    relay.swallowAfter('COMMIT');
    // Some tries are committed without an answer; a later one gets through.
    const listen = setTimeout(() => relay.swallowAfter('nothing any more'), 50);
    return work().finally(() => clearTimeout(listen));
  };
  try {
    await storage.migrate(contextMigrations);
    const clock = wallClock(storage);
    const sessions = new Sessions(storage, clock, { ttlMs: 60_000, maxActive: 10, startsPerMinute: 10 });
    const projects = new Projects(storage, clock);
    const place = { root: tmpdir(), progress_log_path: '/log.md' };
    const made = await projects.create({ name: 'P', ...place, description: '', tags: [], meta: {} });
    expect(await lost(() => sessions.start('A', 'a1'))).toMatchObject({ session_id: 'a1', status: 'active' });
    const filter = { agentId: 'A', type: undefined, before: undefined, limit: 10 };
    expect(await storage.read(() => listEvents(filter))).toHaveLength(1);
    expect(await lost(() => projects.delete('P'))).toEqual(made);
  } finally {
    await storage.close();
    await relay.close();
  }
});
