/** The providers of a clutch by name, each opened when it is first asked for. */
import { refuse } from '../../arguments.js';
import { openProvider, type ProviderOptions, type ProviderSystems, providerKinds } from './open-provider.js';
import type { Provider } from './provider.js';

export class Providers {
  readonly #options: Readonly<Record<string, ProviderOptions>>;
  readonly #systems: ProviderSystems;
  readonly #open = new Map<string, Provider>();

  constructor(options: Readonly<Record<string, ProviderOptions>>, systems: ProviderSystems) {
    this.#options = options;
    this.#systems = systems;
  }

  /** Those that there are; the own engine only where there is one. */
  get names(): string[] {
    const kinds = providerKinds.filter((kind) => kind !== 'engine' || this.#systems.models !== undefined);
    return [...new Set([...kinds, ...Object.keys(this.#options)])];
  }

  /** @throws StompError INVALID_REQUEST */
  get(name: string): Provider {
    const open = this.#open.get(name);
    if (open) return open;
    if (!this.names.includes(name)) refuse('provider', name, `one of ${this.names.join(', ')}`);
    const options = Object.hasOwn(this.#options, name) ? this.#options[name] : {};
    const made = openProvider(name, options, this.#systems);
    this.#open.set(name, made);
    return made;
  }

  /** Ends what is being asked, and removes what was left with providers. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((provider) => provider.close()));
  }
}
