/** The guard's tools of two servers, as on two machines, over one PostgreSQL. */
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import { FileGuard, guardTools, Maasl } from '../../../ts/guard/index.js';
import type { Caller } from '../../../ts/tools/tool.js';
import { Toolbox } from '../../../ts/tools/toolbox.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';

const ann: Caller = { agentId: 'ann', sessionId: 'ann-1' };
const bob: Caller = { agentId: 'bob', sessionId: 'bob-1' };
const root = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-tools-')));
let server: PostgresServer;
const open: Maasl[] = [];

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  for (const maasl of open) await maasl.close();
  await server?.close();
  rmSync(root, { recursive: true });
});

async function start(): Promise<Toolbox> {
  const maasl = await Maasl.open({ database: server.url });
  open.push(maasl);
  const files = await FileGuard.open(maasl, { roots: [root] });
  return new Toolbox([guardTools({ maasl, files })], {
    onFault: ({ error }) => expect.unreachable(String(error)),
  });
}

it('one waits for what the other holds, and goes on when it is given back', async () => {
  const [one, two] = [await start(), await start()];
  const resources = [{ resource_class: 'CRIT_CODE', identifier: 'a.txt' }];
  const { leases } = (await one.call('lock_acquire', { resources }, ann)) as { leases: object[] };
  const write = { path: 'a.txt', content: 'two' };
  const busy = await two.call('fs_write', { ...write, max_wait_ms: 0 }, bob).catch((e: StompError) => e);
  expect(busy).toMatchObject({ code: 'RESOURCE_BUSY', fields: { holder_agent_id: 'ann' } });
  const waiting = two.call('fs_write', { ...write, max_wait_ms: 60_000 }, bob);
  const held = { resource_key: `code:${join(root, 'a.txt')}`, holder_agent_id: 'ann', waiters: 1 };
  await expect
    .poll(() => one.call('locks', {}), { timeout: 20_000 })
    .toMatchObject({ locks: [held], waiting: [{ agent_id: 'bob' }] });
  expect(await two.call('stomp_stats', {})).toMatchObject({ backend: 'postgres', held: 1, waiting: 1 });
  await one.call('lock_release', { leases }, ann);
  await waiting;
  expect(readFileSync(join(root, 'a.txt'), 'utf8')).toBe('two');
});
