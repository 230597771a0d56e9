/** Runs as tools of agents, and the person behind a client who is asked. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ElicitRequestSchema, type ElicitResult } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, describe, expect, it } from 'vitest';
import type { Gate } from '../../../ts/clutch/gates/gate.js';
import { start } from './harness.js';
import { TestClutch } from './test-clutch.js';

const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

type Asked = { readonly message: string; readonly requestedSchema: { readonly properties: object } };

/** @param person answers what the client is asked; undefined: the client lets nobody ask */
async function open(
  elicitApprovals: boolean,
  person?: (asked: Asked) => ElicitResult | Promise<ElicitResult>,
) {
  const clutch = await TestClutch.open();
  const running = await start({ clutch, elicitApprovals });
  const client = new Client(
    { name: 'editor', version: '1' },
    { capabilities: person ? { elicitation: {} } : {} },
  );
  clients.push(client);
  if (person)
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => person(params as unknown as Asked));
  await client.connect(new StreamableHTTPClientTransport(new URL(`${running.url}/mcp`)) as Transport);
  const call = async (name: string, args: object) => {
    const result = await client.callTool({ name, arguments: { ...args } });
    return { failed: result.isError === true, body: result.structuredContent as Record<string, unknown> };
  };
  const run = await clutch.start({ prompt: 'x' });
  return { ...running, clutch, call, run };
}

const settledAs = async (clutch: TestClutch, { id }: Gate) => clutch.gates.get(id);

describe('an agent', () => {
  it('starts runs, watches over them, and ends them', async () => {
    const { call, clutch } = await open(false);
    const { body } = await call('run_start', { prompt: 'Build it', base_dir: clutch.folder });
    const run = await clutch.run(String(body['id']));
    const gate = await clutch.open(run);
    expect((await call('run_status', { run_id: run.id })).body).toMatchObject({
      status: 'idle',
      approvals: [{ id: gate.id, status: 'pending' }],
    });
    expect((await call('approvals_list', { status: 'pending' })).body).toMatchObject({
      approvals: [{ run_id: run.id }],
    });
    expect((await call('run_abort', { run_id: run.id })).body).toMatchObject({ status: 'aborted' });
    expect((await call('run_abort', { run_id: 'none' })).body).toMatchObject({
      error: { code: 'RUN_NOT_FOUND' },
    });
  });

  it('waits for the end of a run, for as long as it says', async () => {
    const { call, clutch, run } = await open(false);
    expect((await call('run_status', { run_id: run.id, wait_seconds: 1 })).body).toMatchObject({
      status: 'idle',
    });
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60, with_messages: true });
    await clutch.end(run, 'built');
    expect((await waiting).body).toMatchObject({ status: 'done', output: 'built', messages: [] });
  });

  it('has no tool that decides', async () => {
    const { get } = await open(true);
    const { data } = (await (await get('/v1/tools')).json()) as { data: { name: string }[] };
    expect(data.map(({ name }) => name)).toEqual(['run_start', 'run_status', 'run_abort', 'approvals_list']);
  });
});

describe('the person behind a client that waits', () => {
  it('is shown all of it, and accepts', async () => {
    const asked: string[] = [];
    const { call, clutch, run } = await open(true, ({ message }) => {
      asked.push(message);
      return { action: 'accept', content: {} };
    });
    const gate = await clutch.open(run);
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60 });
    await expect.poll(() => settledAs(clutch, gate)).toMatchObject({ decidedBy: 'elicitation: editor' });
    expect(await settledAs(clutch, gate)).toMatchObject({ status: 'approved' });
    expect(asked[0]).toContain('Run make');
    expect(asked[0]).toContain('"script": "make"');
    const later = await clutch.open(run, { id: 'later' });
    await expect.poll(async () => (await settledAs(clutch, later)).status).toBe('approved');
    await clutch.end(run, 'built');
    expect((await waiting).body).toMatchObject({ status: 'done' });
    expect(asked).toHaveLength(2);
  });

  it.each([
    ['declines', 'decline', 'rejected'],
    ['says nothing', 'cancel', 'pending'],
  ] as const)('%s', async (_, action, status) => {
    let asked = 0;
    const { call, clutch, run } = await open(true, () => {
      asked++;
      return { action };
    });
    const gate = await clutch.open(run);
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60 });
    await expect.poll(() => asked).toBe(1);
    await expect.poll(async () => (await settledAs(clutch, gate)).status).toBe(status);
    await clutch.end(run, 'over');
    await waiting;
    expect(asked).toBe(1);
  });

  it('answers a question in words', async () => {
    const { call, clutch, run } = await open(true, ({ requestedSchema }) => {
      expect(requestedSchema.properties).toHaveProperty('answer');
      return { action: 'accept', content: { answer: 'blue' } };
    });
    const gate = await clutch.open(run, {
      kind: 'ask',
      tool: 'ask_person',
      payload: { question: 'Which colour?', choices: [], answer: null },
    });
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60 });
    await expect.poll(() => settledAs(clutch, gate)).toMatchObject({ payload: { answer: 'blue' } });
    await clutch.end(run, 'over');
    await waiting;
  });

  it('is given the answers that there are to choose from', async () => {
    const { call, clutch, run } = await open(true, ({ requestedSchema }) => {
      expect(requestedSchema.properties).toMatchObject({ answer: { enum: ['red', 'blue'] } });
      return { action: 'accept', content: { answer: 'blue' } };
    });
    const gate = await clutch.open(run, {
      kind: 'ask',
      tool: 'ask_person',
      payload: { question: 'Which colour?', choices: ['red', 'blue', 'red'], answer: null },
    });
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60 });
    await expect.poll(() => settledAs(clutch, gate)).toMatchObject({ payload: { answer: 'blue' } });
    await clutch.end(run, 'over');
    await waiting;
  });

  it('is not held to a question that somebody else has answered', async () => {
    let asked = 0;
    const { call, clutch, run } = await open(true, () => {
      asked++;
      return new Promise<ElicitResult>(() => undefined);
    });
    const gate = await clutch.open(run);
    const waiting = call('run_status', { run_id: run.id, wait_seconds: 60 });
    await expect.poll(() => asked).toBe(1);
    await clutch.gates.decide(gate.id, { decision: 'approve', revision: 1, by: 'eve' });
    await clutch.open(run, { id: 'later' });
    await expect.poll(() => asked).toBe(2);
    await clutch.end(run, 'over');
    expect((await waiting).body).toMatchObject({ status: 'done' });
  });

  it.each([
    ['the server was not told to', false, true],
    ['the client does not let it', true, false],
  ])('is not asked where %s', async (_, elicits, isAble) => {
    let asked = 0;
    const count = () => {
      asked++;
      return { action: 'accept' as const };
    };
    const { call, clutch, run } = await open(elicits, isAble ? count : undefined);
    const gate = await clutch.open(run);
    await call('run_status', { run_id: run.id, wait_seconds: 1 });
    expect(asked).toBe(0);
    expect(await settledAs(clutch, gate)).toMatchObject({ status: 'pending' });
  });
});
