import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DocgenGuard } from '../../../ts/guard/docgen.js';
import { FileGuard } from '../../../ts/guard/files.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';

let server: PostgresServer;
let root: string;
const open: Maasl[] = [];

beforeAll(async () => {
  server = await startPostgres();
  root = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-docgen-')));
});
afterAll(async () => {
  for (const maasl of open) await maasl.close();
  await server?.close();
  rmSync(root, { recursive: true, force: true });
});

async function desk(): Promise<DocgenGuard> {
  const maasl = await Maasl.open({ database: server.url });
  open.push(maasl);
  return DocgenGuard.open(maasl, await FileGuard.open(maasl, { roots: [root] }), { capacity: 3 });
}

it('makes a document once over several processes on PostgreSQL, and tells of the last calls', async () => {
  const desks = await Promise.all([desk(), desk()]);
  writeFileSync(join(root, 'a.ts'), 'one');
  let made = 0;
  const ask = (n: number) =>
    desks[n % 2]?.generate(
      { repo: root, source: 'a.ts', target: 'a.md' },
      (text) => {
        made++;
        return `about ${text}`;
      },
      { agentId: `agent-${n}`, sessionId: 's', maxWaitMs: 30_000 },
    );
  const results = await Promise.all([0, 1, 2, 3, 4].map(ask));
  expect(made).toBe(1);
  expect(results.map((result) => result?.status).sort()).toEqual([
    'generated',
    'noop',
    'noop',
    'noop',
    'noop',
  ]);
  expect(readFileSync(join(root, 'a.md'), 'utf8')).toMatch(/^<!-- SHA256: [0-9a-f]{64} -->\nabout one$/);
  const told = await desks[1]?.status();
  expect(told?.map(({ status }) => status)).toEqual(['noop', 'noop', 'noop']);
  expect(told).toEqual(await desks[0]?.status());
  expect(told?.[0]).toMatchObject({ file: join(root, 'a.md'), attempts: 0, session_id: 's' });
});
