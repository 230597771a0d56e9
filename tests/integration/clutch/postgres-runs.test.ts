/** Runs of several processes on one PostgreSQL; here each process is a clutch of its own. */
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openClutch } from '../../../ts/clutch/open-clutch.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { TestClutch } from '../../unit/clutch/open-test-clutch.js';
import { runScript, turns } from '../../unit/clutch/scripted-model.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

const script = turns({
  text: 'I make it.',
  calls: [runScript('echo made >> made')],
});

function open(schema: string): Promise<TestClutch> {
  return TestClutch.open(script, {}, () => new PostgresStorage({ url: server.url, schema }));
}

it('a gate is decided in one process for a run that another one works on', async () => {
  const test = await open('decided_elsewhere');
  const { id } = await test.start('Make it');
  const other = await openClutch(test.options);
  const gate = await test.gate();
  await expect.poll(() => Object.keys(other.state.snapshot().approvals)).toEqual([gate.id]);
  const decision = { decision: 'approve', revision: gate.revision, by: 'eve' } as const;
  const decided = await Promise.allSettled(
    [other, test.clutch].map(({ gates }) => gates.decide(gate.id, decision)),
  );
  expect(decided.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect((await other.ended(id)).status).toBe('done');
  expect(test.read('made')).toBe('made\n');
  await other.close();
});

it('what one process leaves another one goes on with, and the first can write nothing any more', async () => {
  const test = await open('taken_over');
  const { id } = await test.start('Make it');
  await test.gate();
  const other = await openClutch(test.options);
  await test.clutch.close();
  expect(existsSync(test.path('made'))).toBe(false);
  const [gate] = await other.gates.list({ status: 'pending' });
  await other.gates.decide(gate?.id ?? '', { decision: 'approve', revision: 1, by: 'eve' });
  expect((await other.ended(id)).status).toBe('done');
  expect(test.read('made')).toBe('made\n');
  await other.close();
});

it('a server that crashes at a gate and comes back loses neither the run nor the gate', async () => {
  const test = await open('crashed');
  const { id } = await test.start('Make it');
  const gate = await test.gate();
  await server.stop('immediate');
  await server.start();
  await expect.poll(() => test.clutch.gates.get(gate.id).catch(() => undefined)).toEqual(gate);
  await test.clutch.gates.decide(gate.id, { decision: 'approve', revision: gate.revision, by: 'eve' });
  expect((await test.clutch.ended(id)).status).toBe('done');
  expect(test.read('made')).toBe('made\n');
});

it('what a model and a client make of names and ids is no fault of the database', async () => {
  const test = await TestClutch.open(
    turns({ calls: [{ name: 'no\u0000such', args: {} }], text: 'a\u0000b' }, { calls: [runScript('true')] }),
    {},
    () => new PostgresStorage({ url: server.url, schema: 'odd_names' }),
  );
  const { id } = await test.start('Make it');
  const gate = await test.gate();
  const { gates } = test.clutch;
  await expect(gates.get('a\u0000')).rejects.toMatchObject({ code: 'APPROVAL_NOT_FOUND' });
  await expect(test.clutch.run('a\u0000')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  await expect(test.clutch.abort('a\u0000', 'eve')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  await expect(gates.revoke('a\u0000')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const decision = { decision: 'reject', revision: gate.revision, by: 'e\u0000ve' } as const;
  await expect(gates.decide(gate.id, { ...decision, reason: 'n\u0000o' })).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  });
  expect((await gates.decide(gate.id, decision)).decidedBy).toBe('eve');
  expect((await test.clutch.ended(id)).status).toBe('done');
});
