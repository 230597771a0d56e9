/** Models that take each other's place in a running server, and signals that come in the middle of it. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ServerProcess, serve, tinyModel, until } from './server-process.js';

const other = join(import.meta.dirname, '../fixtures/models/tiny-llama3-rope-bf16');
const question = 'Tell me about the sea, the wind and the long way home';
const endless = { prompt: 'Go', stream: true, ignore_eos: true };

interface Change {
  readonly model: string;
  readonly previous: string;
  readonly cancelled_requests: number;
  readonly total_ms: number;
}

async function swap(server: ServerProcess, model: string, fields: object = {}): Promise<Change> {
  const response = await server.post('/v1/admin/models/swap', { model, ...fields });
  const body = (await response.json()) as Change;
  if (!response.ok) throw new Error(`no swap: ${JSON.stringify(body)}`);
  return body;
}

describe('a swap', () => {
  it('there and back leaves every agent its cache', async () => {
    const server = await serve({ args: ['--model-alias', `other=${other}`] });
    const before = await server.turn('ann', question);
    expect(await swap(server, 'other')).toMatchObject({
      model: 'tiny-llama3-rope-bf16',
      previous: 'tiny-llama.Q4_1',
    });
    expect((await server.turn('ann', question)).usage.cached_tokens).toBe(0);
    expect(await swap(server, tinyModel)).toMatchObject({ model: 'tiny-llama.Q4_1' });
    const after = await server.turn('ann', 'And what else');
    expect(after.usage.restored_tokens).toBeGreaterThanOrEqual(before.usage.prompt_tokens);
    expect(await server.metric('stomp_model_swap_duration_seconds_count')).toBe(2);
  });

  it('to what is no model leaves the server as it was', async () => {
    const server = await serve();
    await server.turn('ann', question);
    const failed = await server.post('/v1/admin/models/swap', { model: import.meta.filename });
    expect(failed.status).toBe(422);
    expect(await failed.json()).toMatchObject({ error: { fields: { restored: 'tiny-llama.Q4_1' } } });
    expect((await server.turn('ann', 'And what else')).usage.cached_tokens).toBeGreaterThan(0);
  });

  it('in the middle of a batch lets it end or says why it did not', async () => {
    const server = await serve({ args: ['--swap-timeout-seconds', '0'] });
    const batch = await Promise.all(
      Array.from({ length: 12 }, (_, i) => server.post(`/v1/agents/busy-${i}/generate`, endless)),
    );
    await swap(server, other);
    for (const response of batch) {
      expect(await response.text()).toMatch(/"code":"MODEL_SWAP"|data: \[DONE\]/);
    }
    expect((await server.turn('ann', question)).finish_reason).toBeTypeOf('string');
  });

  it('of a model that nobody uses comes by itself, and goes unnoticed', async () => {
    const server = await serve({ args: ['--model-ttl-seconds', '1'] });
    const before = await server.turn('ann', question);
    const isAsleep = async (): Promise<boolean> =>
      (await server.json<{ asleep: boolean }>('/v1/admin/models/current')).asleep;
    await until(isAsleep, 'the model is unloaded');
    const { data } = await server.json<{ data: object[] }>('/v1/agents');
    expect(data).toMatchObject([{ agent_id: 'ann', tier: 'warm', saved: true, blocks: 0 }]);
    expect((data[0] as { tokens: number }).tokens).toBeGreaterThan(0);
    expect(await isAsleep()).toBe(true);
    const after = await server.turn('ann', 'And what else');
    expect(after.usage.restored_tokens).toBeGreaterThanOrEqual(before.usage.prompt_tokens);
  });
});

describe('a signal', () => {
  it.each([1, 2])('during a swap (%d of them) ends the server and loses no turn', async (signals) => {
    const server = await serve();
    const before = await server.turn('ann', question);
    const running = await server.post('/v1/agents/busy/generate', endless);
    await swap(server, other, { wait: false });
    const refusal = server.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hello' }] });
    refusal.catch(() => undefined);
    for (let i = 0; i < signals; i++) server.child.kill('SIGTERM');
    await running.text();
    const { code, err } = await server.finished();
    expect(code).toBe(0);
    expect(err).toContain('Every agent is saved.');
    const again = await serve({ cacheDir: server.cacheDir });
    const after = await again.turn('ann', 'And what else');
    expect(after.usage.restored_tokens).toBeGreaterThanOrEqual(before.usage.prompt_tokens);
  });

  it('refuses new requests with 503 while the running ones end', async () => {
    const server = await serve();
    const running = await Promise.all(
      Array.from({ length: 8 }, (_, i) => server.post(`/v1/agents/busy-${i}/generate`, endless)),
    );
    server.child.kill('SIGTERM');
    await until(() => server.err.includes('once more stops at once'), 'the signal is understood');
    const refused = await server.post('/v1/agents/late/generate', { prompt: 'Go' }).catch(() => undefined);
    // A quick machine has ended by now.
    if (refused) expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    await Promise.all(running.map((response) => response.text()));
    expect((await server.finished()).code).toBe(0);
  });
});
