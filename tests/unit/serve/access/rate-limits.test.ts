import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyRing } from '../../../../ts/serve/access/keys.js';
import { RateLimiter } from '../../../../ts/serve/access/rate-limiter.js';
import { createServer } from '../../../../ts/serve/server.js';
import { FakeEngine } from '../fake-engine.js';
import { errorOf, hello, start } from '../harness.js';

const path = '/v1/chat/completions';
const first = 'the-first-of-two-keys';
const second = 'the-second-of-two-keys';

function clock() {
  let ms = 0;
  const pass = (by: number): void => {
    ms += by;
  };
  return { now: () => ms, pass };
}

describe('a rate limiter', () => {
  it('gives a minute at once, and each one back after its share of a minute', () => {
    const { now, pass } = clock();
    const limiter = new RateLimiter({ perMinute: 4, now });
    expect([1, 2, 3, 4].map(() => limiter.take('a').remaining)).toEqual([3, 2, 1, 0]);
    expect(limiter.take('a')).toEqual({ limit: 4, remaining: 0, resetMs: 60_000, retryAfterMs: 15_000 });
    pass(14_999);
    expect(limiter.take('a').retryAfterMs).toBe(1);
    pass(1);
    expect(limiter.take('a').retryAfterMs).toBe(0);
    pass(600_000);
    expect(limiter.take('a').remaining).toBe(3);
  });

  it('keeps names apart', () => {
    const limiter = new RateLimiter({ perMinute: 1, now: () => 0 });
    expect(limiter.take('a').retryAfterMs).toBe(0);
    expect(limiter.take('b').retryAfterMs).toBe(0);
    expect(limiter.take('a').retryAfterMs).toBeGreaterThan(0);
  });

  it('remembers the names that were seen last, and no more than it may', () => {
    const limiter = new RateLimiter({ perMinute: 1, now: () => 0, maxNames: 3 });
    for (const name of ['a', 'b', 'c', 'a', 'd']) limiter.take(name);
    expect(limiter.names).toBe(3);
    expect(limiter.take('a').retryAfterMs).toBeGreaterThan(0);
    expect(limiter.take('b').retryAfterMs).toBe(0);
  });

  it('never lets more through than the limit and what time gives, and lets through what it promised', () => {
    const waits = fc.array(fc.nat(5000), { maxLength: 100 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), waits, (perMinute, waitsMs) => {
        const { now, pass } = clock();
        const limiter = new RateLimiter({ perMinute, now });
        for (const [passed, waitMs] of waitsMs.entries()) {
          pass(waitMs);
          const { retryAfterMs } = limiter.take('a');
          pass(retryAfterMs);
          if (retryAfterMs > 0) expect(limiter.take('a').retryAfterMs).toBe(0);
          expect(passed + 1).toBeLessThanOrEqual(perMinute + (now() * perMinute) / 60_000 + 1e-6);
        }
      }),
      // Gains that sum up to a little less than one.
      { examples: [[2, [0, 6, 10]]] },
    );
  });
});

describe('a limit per agent', () => {
  it('refuses its turns with 429 and when to come back, and nobody else', async () => {
    const { now, pass } = clock();
    const { post, engine } = await start({ rateLimits: { perAgent: 2, now } });
    const ask = (agent: string) => post(path, { messages: hello }, { 'x-agent-id': agent });
    const answer = await ask('ann');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(answer.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(answer.headers.get('x-ratelimit-reset-requests')).toBe('30s');
    expect((await post('/v1/agents/ann/generate', { message: 'Hi' })).status).toBe(200);
    const refused = await ask('ann');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    expect(refused.headers.get('x-agent-id')).toBe('ann');
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(await errorOf(refused)).toMatchObject({
      code: 'RATE_LIMITED',
      type: 'rate_limit_error',
      fields: { agent_id: 'ann', scope: 'agent', limit_per_minute: 2, retry_after_ms: 30_000 },
    });
    expect((await ask('bob')).status).toBe(200);
    expect(engine.calls).toHaveLength(3);
    pass(30_000);
    expect((await ask('ann')).status).toBe(200);
  });

  it('holds for a conversation without a name too, in streams as well', async () => {
    const { post } = await start({ rateLimits: { perAgent: 1, now: () => 0 } });
    await (await post(path, { messages: hello, stream: true })).text();
    const refused = await post(path, { messages: hello, stream: true });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('content-type')).toContain('application/json');
  });

  it('does not count looking', async () => {
    const { get } = await start({ rateLimits: { perAgent: 1, now: () => 0 } });
    for (let i = 0; i < 5; i++) expect((await get('/v1/agents')).status).toBe(200);
  });
});

describe('a limit per key', () => {
  const keys = () =>
    new KeyRing([
      { role: 'user', key: first },
      { role: 'user', key: second },
    ]);

  it('counts every request below /v1 with this key', async () => {
    const { get } = await start({ keys: keys(), rateLimits: { perKey: 2, now: () => 0 } });
    const ask = async (url: string, key: string) => (await get(url, { 'x-api-key': key })).status;
    expect(await ask('/v1/models', first)).toBe(200);
    expect(await ask('/v1/agents', first)).toBe(200);
    expect(await ask('/v1/models', first)).toBe(429);
    expect(await ask('/health/live', first)).toBe(200);
    expect(await ask('/metrics', first)).toBe(200);
    expect(await ask('/v1/models', second)).toBe(200);
    expect(await ask('/v1/models', 'a-wrong-key-of-some-length')).toBe(401);
  });

  it('tells the tighter of two limits', async () => {
    const { post } = await start({ keys: keys(), rateLimits: { perKey: 3, perAgent: 100, now: () => 0 } });
    const response = await post(path, { messages: hello }, { 'x-api-key': first });
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('3');
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('2');
  });

  it('needs keys', () => {
    expect(() => createServer(new FakeEngine(), { rateLimits: { perKey: 1 } })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('--api-key-file') }),
    );
  });
});

it.each([-1, 0.5, Number.NaN, 1e9])('%d is no limit', (perAgent) => {
  expect(() => createServer(new FakeEngine(), { rateLimits: { perAgent } })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  );
});

it('without limits nothing is said of any', async () => {
  const { post } = await start();
  expect((await post(path, { messages: hello })).headers.get('x-ratelimit-limit-requests')).toBeNull();
});
