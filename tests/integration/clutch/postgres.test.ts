/** Runs, gates and events of several processes on one PostgreSQL. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EventBus } from '../../../ts/clutch/events/event-bus.js';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { postgresDatabase } from '../../servers/databases.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { numbers, said, take, textOf } from '../../unit/clutch/event-bus.rig.js';
import { eventBusSuite } from '../../unit/clutch/event-bus.suite.js';
import { gatesSuite } from '../../unit/clutch/gates.suite.js';
import { runRowsSuite } from '../../unit/clutch/run-rows.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

const backend = () => postgresDatabase(server.url);

eventBusSuite('on PostgreSQL', backend, { each: 100, numRuns: 10 });
runRowsSuite('on PostgreSQL', backend);

describe('gates on PostgreSQL', () => {
  let n = 0;
  beforeEach(() => {
    n++;
  });
  gatesSuite(() => Promise.resolve(new PostgresStorage({ url: server.url, schema: `gates_${n}` })));
});

it('a server that crashes and comes back loses and doubles nothing of what is emitted meanwhile', async () => {
  const storage = new PostgresStorage({ url: server.url, schema: 'crash', retryMs: 100 });
  await storage.migrate(clutchMigrations);
  const warnings: unknown[] = [];
  const bus = new EventBus({
    storage,
    clock: wallClock(storage),
    retryMs: 50,
    onWarning: (error) => warnings.push(error),
  });
  await bus.started();
  const followed = take(bus, 0, 600);
  const emit = async (from: number, to: number) => {
    for (let n = from; n <= to; n++) await bus.emit(said(String(n)));
  };
  await emit(1, 200);
  await server.stop('immediate');
  await emit(201, 400);
  await expect.poll(() => warnings.length).toBeGreaterThan(0);
  await server.start();
  await emit(401, 600);
  expect((await followed).map(textOf)).toEqual(numbers(1, 600).map(String));
  await bus.close();
  await storage.close();
});
