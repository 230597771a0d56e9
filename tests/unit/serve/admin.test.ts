import { describe, expect, it } from 'vitest';
import { FakeEngine } from './fake-engine.js';
import { FakeModel, Models } from './fake-models.js';
import { errorOf, type Running, start, until } from './harness.js';

async function put({ url }: Running, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url + path, { method: 'PUT', headers, body: JSON.stringify(body) });
}

async function serving(): Promise<{ running: Running; engine: FakeModel }> {
  const engine = new FakeModel('tiny');
  return { running: await start({}, engine), engine };
}

describe('caches', () => {
  it('are cleared in memory, and on disk when that is asked for', async () => {
    const { running, engine } = await serving();
    for (const body of [{}, { disk: true }]) {
      const response = await running.post('/v1/admin/caches/clear', body);
      expect(await response.json()).toEqual({ cleared: true, disk: 'disk' in body });
    }
    expect((await fetch(`${running.url}/v1/admin/caches/clear`, { method: 'POST' })).status).toBe(200);
    const told = [{ disk: false }, { disk: true }, { disk: false }];
    expect(engine.settings).toEqual(told.map((options) => ['clearCaches', options]));
    expect((await running.post('/v1/admin/caches/clear', { disk: 'all' })).status).toBe(400);
    expect((await running.post('/v1/admin/caches/clear', { all: true })).status).toBe(400);
  });

  it('of an engine that cannot do it stay, and the caller is told', async () => {
    const { post } = await start({}, new FakeEngine());
    const response = await post('/v1/admin/caches/clear', {});
    expect([response.status, (await errorOf(response)).code]).toEqual([503, 'ENGINE_UNAVAILABLE']);
  });
});

describe('the batch window', () => {
  it('is told and changed', async () => {
    const { running, engine } = await serving();
    const path = '/v1/admin/batch-window';
    expect(await (await running.get(path)).json()).toEqual({ batch_window_ms: 0 });
    expect(await (await put(running, path, { batch_window_ms: 25 })).json()).toEqual({ batch_window_ms: 25 });
    expect(await (await running.get(path)).json()).toEqual({ batch_window_ms: 25 });
    expect(engine.settings).toEqual([['setBatchWindow', 25]]);
  });

  it.each([{}, { batch_window_ms: -1 }, { batch_window_ms: 1001 }, { batch_window_ms: 0.5 }, { ms: 3 }])(
    'is not %j',
    async (body) => {
      const { running, engine } = await serving();
      expect((await put(running, '/v1/admin/batch-window', body)).status).toBe(400);
      expect(engine.settings).toEqual([]);
    },
  );
});

describe('the seed', () => {
  it('is told, changed and taken back', async () => {
    const { running, engine } = await serving();
    const path = '/v1/admin/seed';
    expect(await (await running.get(path)).json()).toEqual({ seed: null });
    for (const seed of [7, 0, Number.MAX_SAFE_INTEGER, null]) {
      expect(await (await put(running, path, { seed })).json()).toEqual({ seed });
      expect(await (await running.get(path)).json()).toEqual({ seed });
    }
    expect(engine.settings.map((setting) => (setting as unknown[])[1])).toEqual([
      7,
      0,
      Number.MAX_SAFE_INTEGER,
      undefined,
    ]);
  });

  it.each([{}, { seed: -1 }, { seed: 1.5 }, { seed: '7' }, { seed: 7, of: 'x' }])(
    'is not %j',
    async (body) => {
      const { running } = await serving();
      expect((await put(running, '/v1/admin/seed', body)).status).toBe(400);
    },
  );

  it('and the batch window hold for the next model as well', async () => {
    const models = new Models();
    await models.registry.load('a');
    const running = await start({}, new FakeEngine(), models.registry);
    await put(running, '/v1/admin/seed', { seed: 7 });
    await models.registry.unload();
    await put(running, '/v1/admin/batch-window', { batch_window_ms: 5 });
    await models.registry.load('b');
    expect(models.last.settings).toEqual([
      ['setBatchWindow', 5],
      ['setSeed', 7],
    ]);
  });

  it('reaches the model that comes while the one before is being told', async () => {
    const models = new Models();
    await models.registry.load('a');
    const running = await start({}, new FakeEngine(), models.registry);
    const first = models.last;
    let finish!: () => void;
    const told = new Promise<void>((resolve) => (finish = resolve));
    first.setSeed = (seed) => {
      first.settings.push(['setSeed', seed]);
      return told;
    };
    const setting = put(running, '/v1/admin/seed', { seed: 7 });
    await until(() => first.settings.length > 0, 'the first model is being told');
    await models.registry.swap('b');
    finish();
    expect((await setting).status).toBe(200);
    expect(models.last.settings).toEqual([['setSeed', 7]]);
  });
});

describe('stats', () => {
  it('tell of the engine and of the server', async () => {
    const { running, engine } = await serving();
    engine.statistics = { waiting: 3, lastSaveError: 'disk full' };
    expect(await (await running.get('/v1/admin/stats')).json()).toMatchObject({
      phase: 'ready',
      model: 'tiny',
      running_turns: 0,
      rss_bytes: expect.any(Number),
      engine: { waiting: 3, last_save_error: 'disk full', pool: [{ capacity: 10, block_bytes: 100 }] },
    });
  });

  it('tell of the server alone while no model is loaded', async () => {
    const models = new Models();
    const { get } = await start({}, new FakeEngine(), models.registry);
    expect(await (await get('/v1/admin/stats')).json()).toMatchObject({
      phase: 'unloaded',
      model: null,
      engine: null,
    });
  });
});

it('one engine that is served for good cannot be exchanged', async () => {
  const { running } = await serving();
  const response = await running.post('/v1/admin/models/swap', { model: 'b' });
  expect([response.status, (await errorOf(response)).code]).toEqual([404, 'NOT_FOUND']);
});
