/** A run on our own engine with the default model: the server's, and its cache. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import type { ApprovalWire, RunDetailWire, RunWire } from '../../ts/clutch/wire.js';
import { serve, temporaryFolder } from './server-process.js';

it('the default model is asked, answers as it comes, and a second run begins with what the first has read', async () => {
  const root = temporaryFolder();
  const state = temporaryFolder();
  const server = await serve({
    model: 'smollm2-135m',
    database: join(state, 'stomp.db'),
    args: ['--roots', root, '--audit-dir', join(state, 'audit')],
  });
  const token = readFileSync(join(dirname(server.database), 'approver-token'), 'utf8').trim();
  const ended = async (id: string): Promise<RunDetailWire> => {
    const now = () => server.json<RunDetailWire>(`/v1/runs/${id}`);
    await expect.poll(async () => (await now()).ended_at, { timeout: 120_000 }).toBeDefined();
    return now();
  };
  const start = async (prompt: string, more: object = {}): Promise<RunWire> => {
    const body = { prompt, max_tokens: 40, gate: 'none', ...more };
    const response = await server.post('/v1/runs', body, { authorization: `Bearer ${token}` });
    expect(response.status).toBe(201);
    return (await response.json()) as RunWire;
  };
  const first = await ended((await start('Name two colours of a lighthouse.')).id);
  expect(first).toMatchObject({ status: expect.stringMatching(/done/), provider: 'engine' });
  expect(first.output?.length).toBeGreaterThan(3);
  expect(first.usage.output_tokens).toBeGreaterThan(0);
  const second = await ended((await start('Name two colours of a boat.')).id);
  expect(second.usage.cached_tokens).toBeGreaterThan(100);

  // So small a model would rather talk: where it has to call, it does.
  const third = await start('List the files.', { first_tool: 'run_script', gate: 'all', max_tokens: 60 });
  const waiting = () =>
    server.json<{ data: ApprovalWire[] }>(`/v1/approvals?status=pending&run_id=${third.id}`);
  await expect.poll(async () => (await waiting()).data.length, { timeout: 60_000 }).toBe(1);
  const [approval] = (await waiting()).data;
  expect(approval).toMatchObject({
    tool: 'run_script',
    payload: { base_dir: expect.stringContaining(root) },
  });
  const decision = { decision: 'approve', revision: 1, edits: { script: 'echo edited > out.txt' } };
  await server.post(`/v1/approvals/${approval?.id}/resolve`, decision, { authorization: `Bearer ${token}` });
  await expect.poll(() => existsSync(join(root, 'out.txt'))).toBe(true);
  await server.post(`/v1/runs/${third.id}/abort`, {});
});
