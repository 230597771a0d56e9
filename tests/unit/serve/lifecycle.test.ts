import { createServer as createHttpServer } from 'node:http';

import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { createServer } from '../../../ts/serve/index.js';
import { RateWindow } from '../../../ts/serve/rate.js';
import type { ServedEngine } from '../../../ts/serve/service.js';
import { FakeEngine } from './fake-engine.js';
import { errorOf, events, hello, start, until } from './harness.js';

const path = '/v1/chat/completions';

describe('while the model is being loaded', () => {
  it('answers 503 with Retry-After, and then serves', async () => {
    const engine = new FakeEngine();
    let loaded!: (engine: ServedEngine) => void;
    const { get, post } = await start({ model: '' }, engine, new Promise((resolve) => (loaded = resolve)));
    expect((await get('/health/live')).status).toBe(200);
    const startup = await get('/health/startup');
    expect(startup.status).toBe(503);
    expect(await startup.json()).toEqual({ status: 'loading', reason: 'the model is being loaded' });
    expect((await get('/health/ready')).status).toBe(503);
    expect((await get('/metrics')).status).toBe(200);
    for (const response of [
      await post(path, { messages: hello }),
      await get('/v1/models'),
      await get('/v1/agents'),
    ]) {
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('2');
      expect(await errorOf(response)).toMatchObject({ code: 'ENGINE_UNAVAILABLE', type: 'server_error' });
    }
    loaded(engine);
    await until(async () => (await get('/health/ready')).status === 200, 'it is ready');
    expect((await get('/health/startup')).status).toBe(200);
    const answer = await post(path, { messages: hello });
    expect(await answer.json()).toMatchObject({ model: 'tiny' });
  });

  it('says why when that failed', async () => {
    const failure = new StompError('MODEL_INVALID', 'The file is cut short.');
    const { get, post, server } = await start({}, new FakeEngine(), Promise.reject(failure));
    expect(server.phase).toBe('failed');
    expect(await (await get('/health/ready')).json()).toEqual({
      status: 'failed',
      reason: 'The file is cut short.',
    });
    expect((await errorOf(await post(path, { messages: hello }))).message).toContain(
      'The file is cut short.',
    );
  });
});

describe('readiness', () => {
  it('ends when hardly a block is free and the queue is nearly full, and not before', async () => {
    const { get, engine } = await start({ maxQueue: 10 });
    const pool = (available: number) => [{ capacity: 100, free: available - 1, cached: 1, blockBytes: 1 }];
    for (const [waiting, available] of [
      [0, 1],
      [7, 4],
      [10, 5],
    ] as const) {
      engine.statistics = { waiting, pool: pool(available) };
      expect((await get('/health/ready')).status).toBe(200);
    }
    engine.statistics = { waiting: 8, pool: pool(4) };
    const response = await get('/health/ready');
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: 'near exhaustion' });
  });
});

describe('a stalled engine', () => {
  it('is not ready, and is not asked for its figures', async () => {
    const { get, engine } = await start();
    engine.stalledMs = 150_000;
    engine.stats = () => new Promise(() => undefined);
    const response = await get('/health/ready');
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: 'stalled' });
    engine.stalledMs = 0;
  });
});

describe('closing', () => {
  it('refuses new requests and lets running ones end', async () => {
    const { server, engine, get, post } = await start();
    engine.script = { tokens: ['a', 'b', 'c'], tokenMs: 100 };
    const running = post(path, { messages: hello, stream: true });
    await until(() => server.runningTurns === 1, 'the request runs');
    const closed = server.close();
    const refused = await post(path, { messages: hello });
    expect(refused.status).toBe(503);
    expect((await errorOf(refused)).code).toBe('SHUTTING_DOWN');
    expect(await (await get('/health/ready')).json()).toMatchObject({ status: 'draining' });
    expect((await get('/health/live')).status).toBe(200);
    expect((await events(await running)).at(-1)).toBe('[DONE]');
    await closed;
    await expect(get('/health/live')).rejects.toThrow();
  });

  it('refuses them however their path is spelt, and those whose body comes only then', async () => {
    const { server, engine, get, post, port } = await start({ shutdownTimeoutMs: 300 });
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 20 };
    const running = post(path, { messages: hello });
    await until(() => server.runningTurns === 1, 'the request runs');
    const body = '{"seed": 7}';
    const late = connect(port, '127.0.0.1');
    let answer = '';
    late.on('data', (data) => (answer += data.toString()));
    late.write('PUT /v1/admin/seed HTTP/1.1\r\nHost: localhost\r\n');
    late.write(`Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
    await get('/health/live');
    const closed = server.close();
    expect((await get('/%76%31/admin/stats')).status).toBe(503);
    late.write(body);
    await until(() => answer !== '', 'the late one is answered');
    expect(answer).toMatch(/^HTTP\/1.1 503 /);
    late.destroy();
    await Promise.all([running, closed]);
  });

  it('cancels what runs longer than the time-out, and says so in the stream', async () => {
    const { server, engine, post } = await start({ shutdownTimeoutMs: 100 });
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 20 };
    const response = await post(path, { messages: hello, stream: true });
    await server.close();
    const data = await events(response);
    expect(JSON.parse(data.at(-1) ?? '')).toMatchObject({ error: { code: 'SHUTTING_DOWN' } });
    expect(engine.cancelled).toBe(1);
  });

  it('answers a whole request that is cancelled with 503', async () => {
    const { server, engine, post } = await start({ shutdownTimeoutMs: 50 });
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 20 };
    const response = post(path, { messages: hello });
    await until(() => server.runningTurns === 1, 'the request runs');
    await server.close();
    expect((await response).status).toBe(503);
  });

  it('is hurried by a second call', async () => {
    const { server, engine, post } = await start({ shutdownTimeoutMs: 60_000 });
    engine.script = { tokens: Array<string>(1000).fill('x'), tokenMs: 20 };
    const response = await post(path, { messages: hello, stream: true });
    const began = performance.now();
    const first = server.close();
    await Promise.all([first, server.close()]);
    expect(performance.now() - began).toBeLessThan(5000);
    expect(await response.text()).toContain('SHUTTING_DOWN');
  });
});

describe('listening', () => {
  it('says that a port is taken, and what to do', async () => {
    const { port } = await start();
    const second = createServer(new FakeEngine());
    await expect(second.listen({ port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining('--port'),
      fields: { field: 'port', value: port },
    });
    await second.close();
  });

  it.each(['0.0.0.0', '::', '192.168.1.5', 'example.com'])('on %s is refused without keys', async (host) => {
    const server = createServer(new FakeEngine());
    await expect(server.listen({ host, port: 0 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('--allow-remote and --api-key-file'),
    });
    await server.close();
  });
});

describe('mounted in another server', () => {
  it('answers under the names that server goes by', async () => {
    const inner = createServer(new FakeEngine(), { allowedHosts: ['agents.example'] });
    const outer = createHttpServer((request, response) => inner.handler(request, response));
    await new Promise<void>((resolve) => outer.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(outer.address() as AddressInfo).port}`;
    try {
      const body = JSON.stringify({ messages: hello });
      const headers = { 'content-type': 'application/json', origin: 'https://agents.example' };
      const response = await fetch(url + path, { method: 'POST', headers, body });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ model: 'tiny' });
    } finally {
      await inner.close();
      outer.closeAllConnections();
      outer.close();
    }
  });
});

describe('metrics', () => {
  const value = (text: string, name: string): number => {
    const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
    if (!line) throw new Error(`no ${name} in\n${text}`);
    return Number(line.slice(name.length + 1));
  };

  it('count requests, tokens, hits and what the engine tells', async () => {
    const { get, post, engine } = await start();
    engine.script = { usage: { cachedTokens: 5 } };
    await post(path, { messages: hello });
    engine.script = {};
    await post(path, { messages: hello, stream: true }).then((response) => response.text());
    await post(path, { messages: hello, n: 0 });
    engine.statistics = { evictionsHot: 2, saves: 4, saveSeconds: 0.5, waiting: 1, active: 3 };
    await get('/metrics');
    engine.statistics = { evictionsHot: 3, saves: 5, saveSeconds: 0.75, waiting: 1, active: 3 };
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    const labels = (status: string): string => `{model="tiny",route="${path}",status="${status}"}`;
    expect(value(text, `stomp_request_total${labels('200')}`)).toBe(2);
    expect(value(text, `stomp_request_total${labels('400')}`)).toBe(1);
    expect(value(text, 'stomp_tokens_generated_total')).toBe(6);
    expect(value(text, 'stomp_cache_hit_total')).toBe(1);
    expect(value(text, 'stomp_cache_miss_total')).toBe(1);
    expect(value(text, 'stomp_request_duration_seconds_count')).toBe(2);
    expect(value(text, 'stomp_time_to_first_token_seconds_count')).toBe(2);
    expect(value(text, 'stomp_time_to_first_token_seconds_sum')).toBeCloseTo(0.04);
    expect(value(text, 'stomp_inter_token_latency_seconds_count')).toBe(4);
    expect(value(text, 'stomp_tokens_per_second')).toBeGreaterThan(0);
    expect(value(text, 'stomp_request_queue_depth')).toBe(1);
    expect(value(text, 'stomp_batch_size')).toBe(3);
    expect(value(text, 'stomp_agents_active')).toBe(1);
    expect(value(text, 'stomp_memory_used_bytes{kind="weights"}')).toBe(1000);
    expect(value(text, 'stomp_pool_utilization_ratio{group="0"}')).toBeCloseTo(0.6);
    expect(value(text, 'stomp_eviction_total{tier="hot"}')).toBe(3);
    expect(value(text, 'stomp_cache_persist_duration_seconds_count')).toBe(5);
    expect(value(text, 'stomp_cache_persist_duration_seconds_sum')).toBeCloseTo(0.75);
    expect(text).not.toContain('agent_id');
  });

  it('have the names and types that dashboards are built on', async () => {
    const { get, post, engine } = await start();
    engine.statistics = { evictionsHot: 1 };
    await post(path, { messages: hello });
    const text = await (await get('/metrics')).text();
    const types = Object.fromEntries(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => [name, type]),
    );
    expect(types).toEqual({
      stomp_request_total: 'counter',
      stomp_request_duration_seconds: 'histogram',
      stomp_time_to_first_token_seconds: 'histogram',
      stomp_inter_token_latency_seconds: 'histogram',
      stomp_request_queue_depth: 'gauge',
      stomp_batch_size: 'gauge',
      stomp_tokens_generated_total: 'counter',
      stomp_tokens_per_second: 'gauge',
      stomp_memory_used_bytes: 'gauge',
      stomp_cache_hit_total: 'counter',
      stomp_cache_miss_total: 'counter',
      stomp_pool_utilization_ratio: 'gauge',
      stomp_eviction_total: 'counter',
      stomp_drafted_tokens_total: 'counter',
      stomp_agents_active: 'gauge',
      stomp_model_swap_duration_seconds: 'histogram',
      stomp_cache_persist_duration_seconds: 'histogram',
      stomp_event_loop_delay_seconds: 'gauge',
    });
    for (const name of Object.keys(types)) {
      expect(text, `a sample of ${name}`).toMatch(new RegExp(`^${name}(_count)?(\\{[^}]*\\})? \\d`, 'm'));
    }
  });

  it('tell how late the event loop was since they were last read', async () => {
    const { get } = await start();
    const worst = async () =>
      value(await (await get('/metrics')).text(), 'stomp_event_loop_delay_seconds{quantile="1"}');
    await delay(50);
    const end = performance.now() + 300;
    while (performance.now() < end);
    await delay(50);
    expect(await worst()).toBeGreaterThan(0.2);
    await delay(50);
    expect(await worst()).toBeLessThan(0.2);
  });

  it('are not shared by two servers of one process', async () => {
    const [first, second] = [await start(), await start()];
    await first.post(path, { messages: hello });
    expect(value(await (await second.get('/metrics')).text(), 'stomp_tokens_generated_total')).toBe(0);
  });

  it('forget old seconds in the rate', () => {
    let now = 0;
    const rate = new RateWindow(() => now);
    rate.add(50);
    expect(rate.perSecond()).toBe(5);
    now = 9999;
    rate.add(10);
    expect(rate.perSecond()).toBe(6);
    now = 10_000;
    expect(rate.perSecond()).toBe(1);
    now = 1e9;
    expect(rate.perSecond()).toBe(0);
  });
});
