/** Scripted engines that come and go: what a registry loads in tests of the HTTP layer. */
import { once } from 'node:events';
import { ModelRegistry } from '../../../ts/engine/model-registry.js';
import type { ModelRegistryOptions } from '../../../ts/engine/registry-options.js';
import type { EngineInfo } from '../../../ts/engine/types.js';
import { StompError } from '../../../ts/errors.js';
import { FakeEngine } from './fake-engine.js';

export class FakeModel extends FakeEngine {
  override readonly info: EngineInfo;
  readonly settings: unknown[] = [];
  closed = false;

  constructor(model: string) {
    super();
    this.info = { ...new FakeEngine().info, model, name: `Model ${model}` };
  }

  async clearCaches(options: { disk?: boolean }): Promise<void> {
    this.settings.push(['clearCaches', options]);
    for (const [id, info] of this.known) this.known.set(id, { ...info, tier: 'warm', diskBytes: 50 });
  }

  setBatchWindow(ms: number): void {
    this.settings.push(['setBatchWindow', ms]);
  }

  async setSeed(seed: number | undefined): Promise<void> {
    this.settings.push(['setSeed', seed]);
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

export class Models {
  readonly registry: ModelRegistry<FakeModel>;
  readonly loaded: FakeModel[] = [];
  #gate = Promise.resolve();

  constructor(options: ModelRegistryOptions<FakeModel> = {}) {
    this.registry = new ModelRegistry<FakeModel>({
      load: async (model, { onProgress, signal }) => {
        onProgress?.({ phase: 'load', fraction: 0.25 });
        await Promise.race([this.#gate, ...(signal ? [once(signal, 'abort')] : [])]);
        signal?.throwIfAborted();
        if (model === 'broken') throw new StompError('MODEL_INVALID', 'The file is cut short.');
        const engine = new FakeModel(model);
        this.loaded.push(engine);
        return engine;
      },
      ...options,
    });
  }

  /** Lets loads take until the returned function is called. */
  holdLoads(): () => void {
    let release!: () => void;
    this.#gate = new Promise((resolve) => (release = resolve));
    return release;
  }

  /** The one that was loaded last. */
  get last(): FakeModel {
    const engine = this.loaded.at(-1);
    if (!engine) throw new Error('nothing was loaded');
    return engine;
  }
}
