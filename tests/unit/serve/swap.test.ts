import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { ModelRegistryOptions } from '../../../ts/engine/registry-options.js';
import { createServer, type ServerOptions } from '../../../ts/serve/server.js';
import { FakeEngine } from './fake-engine.js';
import { type FakeModel, Models } from './fake-models.js';
import { errorOf, events, hello, type Running, start, until } from './harness.js';

const chat = '/v1/chat/completions';
const admin = '/v1/admin/models';
const slow = { tokens: Array<string>(1000).fill('x'), tokenMs: 10 };
const folder = mkdtempSync(join(tmpdir(), 'stomp-swap-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Swapping extends Running {
  readonly models: Models;
}

/** A server whose model is `a`. */
async function serving(
  options: ModelRegistryOptions<FakeModel> = {},
  server: ServerOptions = {},
): Promise<Swapping> {
  const models = new Models(options);
  await models.registry.load('a');
  const running = await start(server, new FakeEngine(), models.registry);
  return { ...running, models };
}

const answer = async (response: Response): Promise<Record<string, unknown>> =>
  (await response.json()) as Record<string, unknown>;

describe('a swap over HTTP', () => {
  it('answers when it is done; from then on the new model is served', async () => {
    const { get, post, models } = await serving({ aliases: { best: 'b' } });
    expect(await answer(await post(chat, { messages: hello, model: 'a' }))).toMatchObject({ model: 'a' });
    const swapped = await post(`${admin}/swap`, { model: 'best' });
    expect(swapped.status).toBe(200);
    expect(await answer(swapped)).toMatchObject({
      model: 'b',
      previous: 'a',
      changed: true,
      cancelled_requests: 0,
      unsaved: null,
      rss_bytes: { before: expect.any(Number), between: expect.any(Number), after: expect.any(Number) },
    });
    expect(models.loaded[0]?.closed).toBe(true);
    expect(await answer(await get('/v1/models'))).toMatchObject({
      data: [{ id: 'b', name: 'Model b', aliases: ['best'] }],
    });
    expect(await answer(await post(chat, { messages: hello, model: 'best' }))).toMatchObject({ model: 'b' });
    const old = await errorOf(await post(chat, { messages: hello, model: 'a' }));
    expect(old).toMatchObject({ code: 'MODEL_NOT_FOUND', param: 'model' });
  });

  it('leaves a running answer to the model that began it, and lets new requests wait', async () => {
    const { server, post, models } = await serving();
    const first = models.last;
    first.script = { tokens: ['a', 'b', 'c', 'd'], tokenMs: 60 };
    const running = post(chat, { messages: hello, stream: true });
    await until(() => server.runningTurns === 1, 'the request runs');
    const swapping = post(`${admin}/swap`, { model: 'b' });
    await until(() => models.registry.current().state === 'draining', 'it drains');
    const late = post(chat, { messages: hello });
    await until(() => models.registry.current().waiting === 1, 'the late one waits');
    const data = await events(await running);
    expect(data.at(-1)).toBe('[DONE]');
    expect(data.slice(0, -1).map((event) => (JSON.parse(event) as { model: string }).model)).toEqual(
      Array<string>(data.length - 1).fill('a'),
    );
    expect((await swapping).status).toBe(200);
    expect(await answer(await late)).toMatchObject({ model: 'b' });
    expect([first.calls.length, models.last.calls.length]).toEqual([1, 1]);
  });

  it('cancels what takes too long, and says so to stream and whole answer', async () => {
    const { server, post, models } = await serving({ drainTimeoutMs: 50 });
    models.last.script = slow;
    const stream = await post(chat, { messages: hello, stream: true });
    const whole = post('/v1/agents/ann/generate', { message: 'Hello' });
    await until(() => server.runningTurns === 2, 'both run');
    expect(await answer(await post(`${admin}/swap`, { model: 'b' }))).toMatchObject({
      cancelled_requests: 2,
    });
    const last = JSON.parse((await events(stream)).at(-1) ?? '') as object;
    expect(last).toMatchObject({ error: { code: 'MODEL_SWAP', fields: { model: 'a', next: 'b' } } });
    const refused = await whole;
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('2');
  });

  it('cancels also the one whose agent is still looked up', async () => {
    const { post, models } = await serving({ drainTimeoutMs: 50 });
    const { last } = models;
    let look = (): void => undefined;
    last.agentIds = () => new Promise((resolve) => (look = () => resolve([])));
    const asked = post(chat, { messages: hello });
    await until(() => models.registry.current().requests === 1, 'it holds the model');
    const swapped = post(`${admin}/swap`, { model: 'b' });
    await delay(150);
    look();
    expect(await errorOf(await asked)).toMatchObject({ code: 'MODEL_SWAP' });
    expect((await swapped).status).toBe(200);
  });

  it('refuses requests that would wait too long with 503 and Retry-After', async () => {
    const { post, get, models } = await serving({ waitMs: 30 });
    const release = models.holdLoads();
    const swapping = post(`${admin}/swap`, { model: 'b' });
    await until(() => models.registry.current().state === 'loading', 'it loads');
    const refused = await post(chat, { messages: hello });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await errorOf(refused)).toMatchObject({ code: 'MODEL_SWAP' });
    // What needs no turn does not wait.
    expect(await errorOf(await get('/v1/models'))).toMatchObject({ code: 'MODEL_SWAP' });
    release();
    expect((await swapping).status).toBe(200);
  });

  it('forgets a waiting request whose client went away', async () => {
    const { url, models, log } = await serving();
    const release = models.holdLoads();
    const swapping = models.registry.swap('b');
    await until(() => models.registry.current().state === 'loading', 'it loads');
    const client = new AbortController();
    const body = JSON.stringify({ messages: hello });
    const headers = { 'content-type': 'application/json' };
    const request = fetch(url + chat, { method: 'POST', headers, body, signal: client.signal });
    await until(() => models.registry.current().waiting === 1, 'it waits');
    client.abort();
    await expect(request).rejects.toThrow();
    await until(() => models.registry.current().waiting === 0, 'it waits no longer');
    release();
    await swapping;
    expect(models.registry.current().requests).toBe(0);
    expect(models.last.calls).toEqual([]);
    expect(log.find(({ route }) => route === chat)).toMatchObject({ status: 499 });
  });

  it('that fails says what serves again', async () => {
    const { post } = await serving();
    const failed = await post(`${admin}/swap`, { model: 'broken' });
    expect(failed.status).toBe(422);
    expect(await errorOf(failed)).toMatchObject({
      code: 'MODEL_INVALID',
      fields: { model: 'broken', restored: 'a' },
    });
    expect(await answer(await post(chat, { messages: hello }))).toMatchObject({ model: 'a' });
  });

  it('is refused while another is under way', async () => {
    const { post, models } = await serving();
    const release = models.holdLoads();
    const first = post(`${admin}/swap`, { model: 'b' });
    await until(() => models.registry.current().state === 'loading', 'it loads');
    for (const path of ['swap', 'load', 'unload']) {
      const second = await post(`${admin}/${path}`, path === 'unload' ? {} : { model: 'c', wait: false });
      expect([second.status, (await errorOf(second)).code]).toEqual([503, 'MODEL_SWAP']);
    }
    release();
    expect((await first).status).toBe(200);
  });

  it('need not be waited for: current tells how it goes', async () => {
    const { get, post, models, log } = await serving();
    const release = models.holdLoads();
    const begun = await post(`${admin}/swap`, { model: 'b', wait: false });
    expect([begun.status, (await answer(begun))['next']]).toEqual([202, 'b']);
    await until(() => models.registry.current().state === 'loading', 'it loads');
    expect(await answer(await get(`${admin}/current`))).toMatchObject({
      state: 'loading',
      model: 'b',
      next: 'b',
      progress: { phase: 'load', fraction: 0.25 },
      loaded_at: null,
    });
    release();
    await until(() => models.registry.current().state === 'ready', 'it is ready');
    expect(await answer(await get(`${admin}/current`))).toMatchObject({
      state: 'ready',
      model: 'b',
      next: null,
      progress: null,
      error: null,
      loaded_at: expect.stringMatching(/^\d{4}-/),
    });
    const fail = models.holdLoads();
    expect((await post(`${admin}/swap`, { model: 'broken', wait: false })).status).toBe(202);
    fail();
    await until(() => log.some(({ msg }) => msg === 'a model could not be exchanged'), 'the failure is told');
  });

  it('does not wait for the server to stop, and the server does not wait for it', async () => {
    const { server, post, models } = await serving();
    models.holdLoads();
    const swapping = models.registry.swap('b').catch((error: unknown) => error);
    await until(() => models.registry.current().state === 'loading', 'it loads');
    const waiting = post(chat, { messages: hello });
    await until(() => models.registry.current().waiting === 1, 'a request waits');
    await server.close();
    expect((await errorOf(await waiting)).code).toBe('SHUTTING_DOWN');
    await models.registry.close();
    expect(await swapping).toBeInstanceOf(Error);
  });
});

describe('unloading and loading', () => {
  it('leaves a server without a model, until one is loaded', async () => {
    const { get, post, models } = await serving();
    expect(await answer(await post(`${admin}/unload`, {}))).toMatchObject({ model: null, previous: 'a' });
    expect(models.last.closed).toBe(true);
    expect(await answer(await get('/health/ready'))).toEqual({
      status: 'unloaded',
      reason: 'no model is loaded',
    });
    expect((await get('/health/startup')).status).toBe(200);
    expect(await errorOf(await post(chat, { messages: hello }))).toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
    });
    expect((await get('/metrics')).status).toBe(200);
    expect((await post(`${admin}/load`, { model: 'b' })).status).toBe(200);
    expect((await get('/health/ready')).status).toBe(200);
    const other = await post(`${admin}/load`, { model: 'c' });
    expect([other.status, (await errorOf(other)).code]).toEqual([400, 'INVALID_REQUEST']);
  });

  it('for want of requests is not noticed by the next one', async () => {
    const { get, post, models } = await serving({ idleTtlMs: 30 });
    await until(() => models.registry.current().asleep, 'it sleeps');
    expect((await get('/health/ready')).status).toBe(200);
    expect(await answer(await get('/v1/models'))).toMatchObject({ data: [{ id: 'a', name: 'Model a' }] });
    expect(models.registry.current().asleep).toBe(true);
    expect(await answer(await post(chat, { messages: hello }))).toMatchObject({ model: 'a' });
    expect(models.loaded).toHaveLength(2);
  });

  it('for want of requests leaves its agents to be seen, and is not woken by who looks', async () => {
    const { get, post, models } = await serving({ idleTtlMs: 400 });
    await Promise.all(['ann', 'bob'].map((id) => post(`/v1/agents/${id}/generate`, { message: 'Hello' })));
    await until(() => models.registry.current().asleep, 'it sleeps');
    const { data } = (await answer(await get('/v1/agents'))) as {
      data: { agent_id: string; tier: string }[];
    };
    data.sort((a, b) => (a.agent_id < b.agent_id ? -1 : 1));
    expect(data).toMatchObject([
      { agent_id: 'ann', tier: 'warm', blocks: 0, pool_bytes: 0, saved: true },
      { agent_id: 'bob', tier: 'warm', blocks: 0, pool_bytes: 0, saved: true },
    ]);
    expect(await answer(await get('/v1/agents/ann'))).toEqual(data[0]);
    const nobody = await get('/v1/agents/eve');
    expect([nobody.status, (await errorOf(nobody)).code]).toEqual([404, 'AGENT_NOT_FOUND']);
    const watched = [
      '/v1/admin/stats',
      '/metrics',
      '/health/ready',
      '/v1/models',
      '/v1/admin/models/current',
    ];
    for (const path of watched) expect((await get(path)).status, path).toBe(200);
    expect(models.loaded).toHaveLength(1);
    expect((await post('/v1/agents/ann/evict', {})).status).toBe(404);
    expect(models.loaded).toHaveLength(2);
  });

  it('for want of requests comes, however often somebody looks at its agents', async () => {
    const { get, models } = await serving({ idleTtlMs: 60 });
    // The last one may meet a server that has gone.
    const look = (): Promise<unknown> => get('/v1/agents').then((response) => response.text());
    const looking = setInterval(() => void look().catch(() => undefined), 10);
    try {
      await until(() => models.registry.current().asleep, 'it sleeps');
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(models.loaded).toHaveLength(1);
    } finally {
      clearInterval(looking);
    }
  });

  it.each([
    ['load', {}, 'model'],
    ['swap', { model: 7 }, 'model'],
    ['swap', { model: 'b', wait: 'no' }, 'wait'],
    ['swap', { model: 'b', force: true }, 'force'],
    ['unload', { model: 'a' }, 'model'],
  ])('%s refuses %j', async (path, body, param) => {
    const { post, models } = await serving();
    const refused = await post(`${admin}/${path}`, body);
    expect([refused.status, (await errorOf(refused)).param]).toEqual([400, param]);
    expect(models.registry.current()).toMatchObject({ state: 'ready', model: 'a' });
  });
});

describe('the models that are available', () => {
  it('are those with a name and those in the folder', async () => {
    writeFileSync(join(folder, 'mine.gguf'), '1234');
    const { get } = await serving({ modelDir: folder });
    const { data } = (await answer(await get(`${admin}/available`))) as { data: { id: string }[] };
    expect(data).toContainEqual(expect.objectContaining({ id: 'smollm2-135m', here: 'no', loaded: false }));
    expect(data).toContainEqual({
      id: join(folder, 'mine.gguf'),
      source: 'file',
      here: 'yes',
      size_bytes: 4,
      loaded: false,
    });
  });
});

describe('health', () => {
  it.each(['GET', 'HEAD'])('says to %s why the server takes no requests', async (method) => {
    const { url, models } = await serving();
    const ask = (path: string) => fetch(`${url}/health/${path}`, { method });
    expect((await ask('ready')).status).toBe(200);
    const release = models.holdLoads();
    const swapping = models.registry.swap('b');
    await until(() => models.registry.current().state === 'loading', 'it loads');
    const response = await ask('ready');
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
    if (method === 'GET') {
      expect(await response.json()).toEqual({ status: 'swapping', reason: 'b is being loaded instead' });
    }
    expect([(await ask('live')).status, (await ask('startup')).status]).toEqual([200, 200]);
    release();
    await swapping;
    expect((await ask('ready')).status).toBe(200);
  });
});

describe('metrics', () => {
  it('count on when the engine is another one', async () => {
    const { get, models } = await serving();
    const text = async () => (await get('/metrics')).text();
    models.last.statistics = { evictionsHot: 5, saves: 3, saveSeconds: 1.5 };
    await text();
    await models.registry.swap('b');
    models.last.statistics = { evictionsHot: 1, saves: 1, saveSeconds: 0.5 };
    const after = await text();
    expect(after).toMatch(/^stomp_eviction_total\{tier="hot"\} 6$/m);
    expect(after).toMatch(/^stomp_cache_persist_duration_seconds_count 4$/m);
    expect(after).toMatch(/^stomp_cache_persist_duration_seconds_sum 2$/m);
    expect(after).toMatch(/^stomp_model_swap_duration_seconds_count 1$/m);
    await models.registry.unload();
    const without = await text();
    expect(without).toMatch(/^stomp_batch_size 0$/m);
    expect(without).not.toContain('kind="weights"');
    expect(without).toContain('kind="process"');
  });
});

it('a registry is not given names for its models', () => {
  const { registry } = new Models();
  expect(() => createServer(registry, { model: 'x' })).toThrow(
    expect.objectContaining({ code: 'INVALID_REQUEST', fields: { field: 'model' } }),
  );
});
