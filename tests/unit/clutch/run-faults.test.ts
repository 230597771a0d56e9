/** Runs when something else fails: providers, the database, the process. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EventType } from '../../../ts/clutch/events/event.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { FlakyStorage } from './flaky-storage.js';
import { TestClutch } from './open-test-clutch.js';
import { runScript, type Script, turns } from './scripted-model.js';

/** Fails in one way after another, and then says that it rains. */
function failing(...ways: readonly Exclude<ReturnType<Script>, object>[]): Script {
  let n = 0;
  return () => ways[n++] ?? { text: 'It rains.' };
}

const status =
  (code: number): ReturnType<Script> =>
  (response) => {
    response.writeHead(code, { 'content-type': 'application/json', 'retry-after': '0' });
    response.end('{"error":{"message":"not now","type":"server_error"}}');
  };

const cut: ReturnType<Script> = (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":');
  response.write('[{"index":0,"delta":{"content":"It sn"},"finish_reason":null}]}\n\n');
  setTimeout(() => response.socket?.destroy(), 20);
};

async function typesOf(test: TestClutch): Promise<EventType[]> {
  const types: EventType[] = [];
  for await (const event of test.clutch.bus.follow(0, AbortSignal.timeout(10_000))) {
    types.push(event.type);
    if (event.type === 'run_changed' && event.body.run.ended_at !== undefined) break;
  }
  return types;
}

describe('a provider that fails', () => {
  it.each([
    ['says that there were too many requests', status(429)],
    ['has a fault', status(500)],
    ['is cut in the middle of its answer', cut],
  ])('and %s is asked again, and only its last answer counts', async (_what, way) => {
    const test = await TestClutch.open(failing(way as never), {});
    const { id } = await test.start('Weather?', { provider: 'patient' });
    expect(await test.clutch.ended(id)).toMatchObject({ status: 'done', state: { output: 'It rains.' } });
    expect(await typesOf(test)).toContain('text_reset');
    expect((await test.clutch.detail(id)).messages).toHaveLength(2);
  });

  it('and says nothing for too long ends the run with an error', async () => {
    const test = await TestClutch.open(() => (response) => void response.writeHead(200).flushHeaders());
    const { id } = await test.start('Weather?', { provider: 'hasty' });
    expect(await test.clutch.ended(id)).toMatchObject({
      status: 'error',
      error: { code: 'PROVIDER_FAILED' },
    });
  });

  it('and says nothing can be left by an abort', async () => {
    const test = await TestClutch.open(() => (response) => void response.writeHead(200).flushHeaders());
    const { id } = await test.start('Weather?');
    await expect.poll(() => test.model.asked.length).toBe(1);
    await test.clutch.abort(id, 'eve');
    expect((await test.clutch.ended(id)).status).toBe('aborted');
  });
});

describe('a database that is away for a while', () => {
  it('holds runs up and ends none of them', async () => {
    let storage: FlakyStorage | undefined;
    const made = (folder: string) => {
      storage = new FlakyStorage(new SqliteStorage({ path: join(folder, 'clutch.db') }));
      return storage;
    };
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }), {}, made);
    const { id } = await test.start('Go');
    const gate = await test.gate();
    if (storage) storage.isAway = true;
    const decision = { decision: 'approve', revision: 1, by: 'eve' } as const;
    await expect(test.clutch.gates.decide(gate.id, decision)).rejects.toMatchObject({ code: 'DB_BUSY' });
    expect(existsSync(test.path('made'))).toBe(false);
    if (storage) storage.isAway = false;
    await test.clutch.gates.decide(gate.id, decision);
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(existsSync(test.path('made'))).toBe(true);
  });
});

describe('a clutch that is closed and opened again', () => {
  it.each([0, 5000])('in %i ms goes on with a run that waits, and its gate is as it was', async (graceMs) => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }), { graceMs });
    const { id } = await test.start('Go');
    const before = await test.gate();
    await expect.poll(async () => (await test.clutch.run(id)).status).toBe('awaiting_approval');
    await test.clutch.close();
    await test.reopen();
    expect(await test.gate()).toEqual(before);
    await test.approve();
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(existsSync(test.path('made'))).toBe(true);
  });

  it('lets a script that is running come to its end', async () => {
    const test = await TestClutch.open(
      turns({
        calls: [runScript('echo began > began; while [ ! -e go ]; do sleep 0.05; done; echo made >> made')],
      }),
      { graceMs: 20_000 },
    );
    const { id } = await test.start('Go', { gate: 'none' });
    await expect.poll(() => existsSync(test.path('began'))).toBe(true);
    const closed = test.clutch.close();
    test.write('go', '');
    await closed;
    expect(test.read('made')).toBe('made\n');
    await test.reopen();
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(test.read('made')).toBe('made\n');
    expect(test.lastResults[0]).toContain('exit code 0');
  });

  it('asks a person about a script that it had to end, and does not repeat it by itself', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('echo began >> began; sleep 60')] }));
    const { id } = await test.start('Go', { gate: 'none' });
    await expect.poll(() => existsSync(test.path('began'))).toBe(true);
    await test.clutch.close();
    await test.reopen();
    const gate = await test.gate();
    expect(gate).toMatchObject({ kind: 'ask', tool: 'run_script', payload: { answer: null } });
    expect(gate.preview.title).toContain('unknown');
    await test.approve({ answer: 'it was not done' });
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(test.lastResults[0]).toContain('it was not done');
    expect(test.read('began')).toBe('began\n');
  });

  it('lets nobody wait for a run that it works on no more', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('true')] }));
    const { id } = await test.start('Go');
    await test.gate();
    const waiting = test.clutch.ended(id);
    const refused = expect(waiting).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await test.clutch.close();
    await refused;
    await test.reopen();
  });

  it('takes nothing while it is being closed', async () => {
    const test = await TestClutch.open(turns());
    await test.clutch.close();
    await expect(test.start('Go')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await test.reopen();
  });
});
