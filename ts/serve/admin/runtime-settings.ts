/** What can be changed while the server runs. The engine of the next model is told as well. */
import { StompError } from '../../errors.js';
import type { ServedEngine, Service } from '../service.js';

export class RuntimeSettings {
  readonly #service: Service;
  readonly #stop: () => void;
  #batchWindowMs: number;
  #isWindowSet = false;
  #seed: number | undefined;

  /**
   * @param batchWindowMs that engines are started with
   * @param onFailure is told when the engine of a new model refuses what the one before it took.
   */
  constructor(service: Service, batchWindowMs: number, onFailure: (error: unknown) => void) {
    this.#service = service;
    this.#batchWindowMs = batchWindowMs;
    this.#stop = service.source.subscribe((event) => {
      if (event.type === 'state' && event.status.state === 'ready') this.#apply().catch(onFailure);
    });
  }

  close(): void {
    this.#stop();
  }

  get batchWindowMs(): number {
    return this.#batchWindowMs;
  }

  /** Undefined: requests without a seed get a random one. */
  get seed(): number | undefined {
    return this.#seed;
  }

  /** Waits for an engine if there is none. @throws StompError ENGINE_UNAVAILABLE when the engine has no such setting */
  async setBatchWindow(ms: number): Promise<void> {
    await this.#give((engine) => {
      if (!engine.setBatchWindow) throw unable('change its batch window');
      return engine.setBatchWindow(ms);
    });
    this.#batchWindowMs = ms;
    this.#isWindowSet = true;
  }

  /** @throws StompError ENGINE_UNAVAILABLE when the engine has no such setting */
  async setSeed(seed: number | undefined): Promise<void> {
    await this.#give((engine) => {
      if (!engine.setSeed) throw unable('change its seed');
      return engine.setSeed(seed);
    });
    this.#seed = seed;
  }

  /** Where there is no engine now, the next one is told; so is one that has come while the last was being told. */
  async #give(set: (engine: ServedEngine) => void | Promise<void>): Promise<void> {
    let told: ServedEngine | undefined;
    for (let engine = this.#service.loaded; engine && engine !== told; engine = this.#service.loaded) {
      await set(engine);
      told = engine;
    }
  }

  async #apply(): Promise<void> {
    if (this.#isWindowSet) await this.setBatchWindow(this.#batchWindowMs);
    if (this.#seed !== undefined) await this.setSeed(this.#seed);
  }
}

export function unable(what: string): StompError {
  return new StompError('ENGINE_UNAVAILABLE', `This engine cannot ${what}.`);
}
