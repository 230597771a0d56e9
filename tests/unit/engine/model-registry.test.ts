import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ModelRegistry } from '../../../ts/engine/model-registry.js';
import type { ModelEvent } from '../../../ts/engine/model-status.js';
import type { ModelRegistryOptions } from '../../../ts/engine/registry-options.js';
import type { EngineOptions } from '../../../ts/engine/types.js';
import { StompError } from '../../../ts/errors.js';

class Host {
  /** What happened, in order. */
  readonly story: string[] = [];
  readonly warnings: StompError[] = [];
  readonly open = new Set<TestEngine>();
  readonly broken = new Map<string, StompError>();
  readonly missing = new Set<string>();
  loadMs = 0;
  closeMs = 1;
  mostAtOnce = 0;
  unsaved: StompError | undefined;
  options: EngineOptions = {};

  async load(model: string, options: EngineOptions): Promise<TestEngine> {
    this.options = options;
    this.story.push(`load ${model}`);
    options.onProgress?.({ phase: 'load', fraction: 0.5 });
    await delay(this.loadMs, undefined, options.signal ? { signal: options.signal } : {});
    const broken = this.broken.get(model);
    if (broken) throw broken;
    const engine = new TestEngine(model, this);
    this.open.add(engine);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.open.size);
    return engine;
  }

  async prepare(model: string): Promise<void> {
    if (this.missing.has(model)) throw new StompError('MODEL_NOT_FOUND', `There is no ${model}.`);
  }
}

class TestEngine {
  readonly model: string;
  readonly #host: Host;

  constructor(model: string, host: Host) {
    this.model = model;
    this.#host = host;
  }

  async close(): Promise<void> {
    this.#host.story.push(`close ${this.model}`);
    await delay(this.#host.closeMs);
    this.#host.open.delete(this);
    if (this.#host.unsaved) throw this.#host.unsaved;
  }
}

const registries: ModelRegistry<TestEngine>[] = [];
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.close()));
});

function open(options: ModelRegistryOptions<TestEngine> = {}): {
  registry: ModelRegistry<TestEngine>;
  host: Host;
} {
  const host = new Host();
  const registry = new ModelRegistry<TestEngine>({
    load: (model, given) => host.load(model, given),
    prepare: (model) => host.prepare(model),
    onWarning: (warning) => host.warnings.push(warning),
    ...options,
  });
  registries.push(registry);
  return { registry, host };
}

async function opened(options: ModelRegistryOptions<TestEngine> = {}) {
  const { registry, host } = open(options);
  await registry.load('a');
  return { registry, host };
}

async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !check(); i++) await delay(5);
  expect(check()).toBe(true);
}

const invalid = new StompError('MODEL_INVALID', 'The file is cut short.');

describe('a registry', () => {
  it('has nothing until a model is loaded', async () => {
    const { registry } = open();
    expect(registry.current()).toMatchObject({ state: 'unloaded', model: undefined, loadedAtMs: undefined });
    expect(registry.engine).toBeUndefined();
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('tells how far a load is, and refuses requests at once meanwhile', async () => {
    const { registry, host } = open();
    host.loadMs = 30;
    const loading = registry.load('a');
    await until(() => registry.current().progress !== undefined);
    expect(registry.current()).toMatchObject({
      state: 'loading',
      model: 'a',
      progress: { phase: 'load', fraction: 0.5 },
    });
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
    expect(await loading).toMatchObject({ model: 'a', previous: undefined, changed: true });
    expect(registry.current()).toMatchObject({ state: 'ready', model: 'a', progress: undefined });
    expect(registry.engine?.model).toBe('a');
  });

  it('loads a model once, by whatever name it is called', async () => {
    const { registry, host } = open({ aliases: { best: '/models/a.gguf' } });
    await registry.load('/models/a.gguf');
    expect(registry.current()).toMatchObject({ model: 'a', aliases: ['/models/a.gguf', 'a.gguf', 'best'] });
    for (const name of ['/models/a.gguf', 'a', 'best']) {
      expect(await registry.load(name)).toMatchObject({ model: 'a', changed: false });
      expect(await registry.swap(name)).toMatchObject({ model: 'a', changed: false });
    }
    expect(host.story).toEqual(['load /models/a.gguf']);
  });

  it('loads the model that an alias stands for', async () => {
    const { registry, host } = open({ aliases: { best: 'b' } });
    await registry.load('best');
    expect(host.story).toEqual(['load b']);
  });

  it('has room for one model', async () => {
    const { registry } = await opened();
    await expect(registry.load('b')).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('swap'),
    });
    expect(registry.current()).toMatchObject({ state: 'ready', model: 'a' });
  });

  it('gives each engine its options, those of the call first', async () => {
    const { registry, host } = open({ engine: { threads: 2, kvBits: 16 } });
    await registry.load('a', { kvBits: 8 });
    expect(host.options).toMatchObject({ threads: 2, kvBits: 8 });
  });

  it('says why a load failed, and can try again', async () => {
    const { registry, host } = open();
    host.broken.set('a', invalid);
    await expect(registry.load('a')).rejects.toBe(invalid);
    expect(registry.current()).toMatchObject({ state: 'failed', model: 'a', failure: invalid });
    await expect(registry.acquire()).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining('cut short'),
    });
    host.broken.clear();
    await registry.load('a');
    expect(registry.current()).toMatchObject({ state: 'ready', failure: undefined });
  });

  it.each([
    [{ drainTimeoutMs: -1 }, 'drainTimeoutMs'],
    [{ idleTtlMs: 0 }, 'idleTtlMs'],
    [{ waitMs: 2 ** 31 }, 'waitMs'],
    [{ aliases: { x: '' } }, 'aliases.x'],
    [{ load: 'a' as never }, 'load'],
    [{ modelDir: '' }, 'modelDir'],
  ])('refuses the options %j', (options, field) => {
    expect(() => open(options)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ field }) }),
    );
  });

  it.each(['', 'x\0', 7 as never])('refuses the model %j', async (model) => {
    const { registry } = open();
    await expect(registry.load(model)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await expect(registry.swap(model)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

describe('unloading', () => {
  it('closes the engine after the last request', async () => {
    const { registry, host } = await opened();
    const lease = await registry.acquire();
    const unloading = registry.unload();
    await delay(10);
    expect(registry.current()).toMatchObject({ state: 'draining', requests: 1 });
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
    expect(host.story).toEqual(['load a']);
    lease.release();
    lease.release();
    expect(await unloading).toMatchObject({ model: undefined, previous: 'a', cancelledRequests: 0 });
    expect(host.story).toEqual(['load a', 'close a']);
    expect(registry.current()).toMatchObject({ state: 'unloaded', model: undefined });
    expect(await registry.unload()).toMatchObject({ changed: false });
  });

  it('says which agents could not be saved, and goes on', async () => {
    const { registry, host } = await opened();
    host.unsaved = new StompError('CACHE_PERSISTENCE', 'The disk is full.');
    expect(await registry.swap('b')).toMatchObject({ model: 'b', unsaved: { code: 'CACHE_PERSISTENCE' } });
    expect(host.warnings).toEqual([host.unsaved]);
    host.unsaved = undefined;
  });
});

describe('a swap', () => {
  it('lets requests end, then closes, then loads; new requests wait and get the new model', async () => {
    const { registry, host } = await opened();
    const lease = await registry.acquire();
    const swapping = registry.swap('b');
    await until(() => registry.current().state === 'draining');
    expect(registry.current()).toMatchObject({ model: 'a', next: 'b', awaited: true });
    const late = registry.acquire();
    await delay(10);
    expect(registry.current().waiting).toBe(1);
    expect(host.story).toEqual(['load a']);
    lease.release();
    const change = await swapping;
    expect(change).toMatchObject({ model: 'b', previous: 'a', changed: true, cancelledRequests: 0 });
    expect(change.rssBytes.between).toBeGreaterThan(0);
    expect(change.totalMs).toBeGreaterThanOrEqual(change.drainMs + change.closeMs + change.loadMs - 1);
    expect(host.story).toEqual(['load a', 'close a', 'load b']);
    expect((await late).engine.model).toBe('b');
    expect(host.mostAtOnce).toBe(1);
  });

  it('cancels requests that take longer than the time-out, with the reason', async () => {
    const { registry } = await opened({ drainTimeoutMs: 20 });
    const lease = await registry.acquire();
    lease.signal.addEventListener('abort', () => lease.release());
    expect(await registry.swap('b')).toMatchObject({ cancelledRequests: 1 });
    expect(lease.signal.reason).toMatchObject({ code: 'MODEL_SWAP', fields: { model: 'a', next: 'b' } });
  });

  it('to a model that is not there leaves the one at work alone', async () => {
    const { registry, host } = await opened();
    host.missing.add('b');
    const lease = await registry.acquire();
    await expect(registry.swap('b')).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect(lease.signal.aborted).toBe(false);
    expect(registry.current()).toMatchObject({ state: 'ready', model: 'a', next: undefined });
    expect(host.story).toEqual(['load a']);
    lease.release();
  });

  it('to a model that cannot be loaded brings the one before it back', async () => {
    const { registry, host } = await opened();
    host.closeMs = 30;
    host.broken.set('b', invalid);
    const swapping = registry.swap('b');
    const ended = expect(swapping).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringContaining('a serves again'),
      fields: { model: 'b', restored: 'a' },
    });
    await until(() => registry.current().state !== 'ready');
    const late = registry.acquire();
    await ended;
    expect((await late).engine.model).toBe('a');
    expect(host.story).toEqual(['load a', 'close a', 'load b', 'load a']);
    expect(registry.current()).toMatchObject({ state: 'ready', model: 'a', failure: undefined });
  });

  it('after which neither model can be loaded says both reasons', async () => {
    const { registry, host } = await opened();
    host.broken.set('b', invalid).set('a', new StompError('MODEL_NOT_FOUND', 'It is gone.'));
    await expect(registry.swap('b')).rejects.toMatchObject({
      code: 'MODEL_INVALID',
      message: expect.stringMatching(/cut short.*It is gone/),
      fields: { restored: null },
    });
    expect(registry.current()).toMatchObject({ state: 'failed', model: 'a' });
  });

  it('is refused while another is under way', async () => {
    const { registry, host } = await opened();
    host.loadMs = 20;
    const first = registry.swap('b');
    for (const second of [registry.swap('c'), registry.load('c'), registry.unload()]) {
      await expect(second).rejects.toMatchObject({ code: 'MODEL_SWAP', fields: { next: 'b' } });
    }
    expect(await first).toMatchObject({ model: 'b' });
    expect(await registry.swap('c')).toMatchObject({ model: 'c', previous: 'b' });
  });

  it('makes requests wait no longer than they are told to', async () => {
    const { registry, host } = await opened({ waitMs: 20, maxWaiting: 1 });
    host.loadMs = 200;
    const swapping = registry.swap('b');
    await until(() => registry.current().state === 'loading');
    const patient = registry.acquire();
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'MODEL_SWAP', status: 503 });
    await expect(patient).rejects.toMatchObject({ code: 'MODEL_SWAP' });
    expect(registry.current().state).toBe('loading');
    await swapping;
  });

  it('lets go of a request whose client went away', async () => {
    const { registry, host } = await opened();
    host.loadMs = 50;
    const swapping = registry.swap('b');
    await until(() => registry.current().state === 'loading');
    const client = new AbortController();
    const waiting = registry.acquire(client.signal);
    client.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(registry.current().waiting).toBe(0);
    await swapping;
  });

  it('is told to listeners', async () => {
    const { registry } = await opened();
    const events: ModelEvent[] = [];
    const stop = registry.subscribe((event) => void events.push(event));
    await registry.swap('b');
    stop();
    await registry.swap('c');
    const told = events.map((event) => (event.type === 'state' ? event.status.state : event.change.model));
    expect(told).toEqual(['draining', 'loading', 'ready', 'b']);
  });

  it('can be given up by its signal, and the old model comes back', async () => {
    const { registry, host } = await opened();
    host.loadMs = 10_000;
    const patience = new AbortController();
    const swapping = registry.swap('b', { signal: patience.signal });
    await until(() => registry.current().state === 'loading');
    host.loadMs = 0;
    patience.abort(new StompError('CANCELLED', 'Enough.'));
    await expect(swapping).rejects.toMatchObject({ fields: { restored: 'a' } });
  });
});

describe('idleness', () => {
  it('unloads the model, and the next request loads it again', async () => {
    const { registry, host } = await opened({ idleTtlMs: 20 });
    const lease = await registry.acquire();
    await delay(50);
    expect(registry.current().state).toBe('ready');
    lease.release();
    await until(() => registry.current().asleep);
    expect(registry.current()).toMatchObject({ state: 'unloaded', model: 'a' });
    expect(host.open.size).toBe(0);
    const leases = await Promise.all([registry.acquire(), registry.acquire()]);
    expect(leases.map(({ engine }) => engine.model)).toEqual(['a', 'a']);
    expect(host.story).toEqual(['load a', 'close a', 'load a']);
    for (const { release } of leases) release();
  });

  it('ends with a request that comes while the model is being unloaded', async () => {
    const { registry, host } = await opened({ idleTtlMs: 10 });
    host.closeMs = 50;
    await until(() => registry.current().state === 'draining');
    expect((await registry.acquire()).engine.model).toBe('a');
  });

  it('gives way to a swap, and to an unload that is meant', async () => {
    const { registry, host } = await opened({ idleTtlMs: 10 });
    host.closeMs = 50;
    await until(() => registry.current().state === 'draining');
    expect(await registry.swap('b')).toMatchObject({ model: 'b' });
    await until(() => registry.current().asleep);
    await registry.unload();
    expect(registry.current()).toMatchObject({ asleep: false, model: undefined });
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('outlasts a swap to a model that cannot be had: the next request wakes the one that sleeps', async () => {
    for (const method of ['swap', 'load'] as const) {
      const { registry, host } = await opened({ idleTtlMs: 10 });
      host.missing.add('gone');
      host.broken.set('broken', invalid);
      for (const model of ['gone', 'broken']) {
        await until(() => registry.current().asleep);
        await expect(registry[method](model)).rejects.toBeInstanceOf(StompError);
        expect(registry.current()).toMatchObject({ state: 'unloaded', model: 'a', asleep: true });
        const lease = await registry.acquire();
        expect(lease.engine.model).toBe('a');
        lease.release();
      }
    }
  });

  it('lets requests wait for a model that takes the place of one asleep', async () => {
    for (const method of ['swap', 'load'] as const) {
      const { registry, host } = await opened({ idleTtlMs: 10 });
      await until(() => registry.current().asleep);
      host.loadMs = 30;
      const change = registry[method]('b');
      expect((await registry.acquire()).engine.model).toBe('b');
      await change;
    }
  });

  it('tells a request when the model does not come back, and tries again for the next', async () => {
    const { registry, host } = await opened({ idleTtlMs: 10 });
    await until(() => registry.current().asleep);
    host.broken.set('a', invalid);
    await expect(registry.acquire()).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining('cut short'),
    });
    expect(host.warnings).toEqual([invalid]);
    host.broken.clear();
    expect((await registry.acquire()).engine.model).toBe('a');
  });
});

describe('closing', () => {
  it('closes the engine, once', async () => {
    const { registry, host } = await opened();
    await Promise.all([registry.close(), registry.close()]);
    expect(host.story).toEqual(['load a', 'close a']);
    await expect(registry.acquire()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(registry.load('a')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('gives up a swap under way, whether it drains or loads', async () => {
    for (const state of ['draining', 'loading'] as const) {
      const { registry, host } = await opened();
      const lease = await registry.acquire();
      host.loadMs = 60_000;
      const swapping = registry.swap('b');
      const ended = expect(swapping).rejects.toBeInstanceOf(StompError);
      if (state === 'loading') lease.release();
      await until(() => registry.current().state === state);
      lease.signal.addEventListener('abort', () => lease.release());
      await registry.close();
      await ended;
      expect(host.open.size).toBe(0);
      expect(registry.current().state).toBe('unloaded');
    }
  });
});

it('never has two engines at once, nor an open one after the end, whatever comes', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constantFrom('load', 'swap'), model: fc.constantFrom('a', 'b', 'broken') }),
    fc.record({ do: fc.constantFrom('unload', 'request', 'pause'), model: fc.constant('') }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { registry, host } = open({ idleTtlMs: 2, drainTimeoutMs: 5 });
      host.broken.set('broken', invalid);
      const request = async (): Promise<void> => {
        const lease = await registry.acquire();
        expect(host.open.has(lease.engine)).toBe(true);
        await delay(1);
        expect(host.open.has(lease.engine)).toBe(true);
        lease.release();
      };
      const begin = (what: string, model: string): Promise<unknown> => {
        if (what === 'request') return request();
        if (what === 'pause') return delay(3);
        return what === 'unload' ? registry.unload() : registry[what as 'load' | 'swap'](model);
      };
      const running: Promise<unknown>[] = [];
      for (const { do: what, model } of steps) {
        const work = begin(what, model).catch((error: unknown) => expect(error).toBeInstanceOf(StompError));
        running.push(work);
        if (what === 'pause') await work;
      }
      await Promise.all(running);
      expect(host.mostAtOnce).toBeLessThanOrEqual(1);
      await registry.close();
      expect(host.open.size).toBe(0);
    }),
    { numRuns: 60 },
  );
});
