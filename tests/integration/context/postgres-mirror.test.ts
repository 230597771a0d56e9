import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StateMirror } from '../../../ts/context/mirror.js';
import type { Storage, Work } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { addProject, all, postgresBench, setProject } from '../../unit/context/bench.js';
import { mirrorSuite } from '../../unit/context/mirror.suite.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

mirrorSuite('on PostgreSQL', () => postgresBench(server.url, 'mirror'));

/** A storage that takes its time after it has read the agents. */
function slow(storage: Storage): Storage {
  const write = <T>(work: () => Work<T>): Promise<T> =>
    storage.write(function* () {
      const inner = work();
      let step = inner.next([]);
      while (!step.done) {
        const found = yield step.value;
        if (step.value.sql.includes('FROM agent_projects')) yield { sql: 'SELECT pg_sleep(0.5)', params: [] };
        step = inner.next(found);
      }
      return step.value;
    });
  return Object.create(storage, { write: { value: write } }) as Storage;
}

it('does not put what it has read before over what another machine has written since', async () => {
  const bench = postgresBench(server.url, 'mirror_slow');
  const storage = await bench.open();
  const path = join(bench.folder, 'state.json');
  await addProject(storage, 'a');
  const late = new StateMirror({ storage: slow(storage), path }).update();
  const sleeping =
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
  await expect.poll(async () => (await all(storage, sleeping)).length).toBe(1);
  await setProject(storage, 'A', 'a');
  await new StateMirror({ storage, path }).update();
  await late;
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ current: { A: { project: 'a' } } });
  await bench.close();
});
