/** Client libraries are optional: they are loaded when a provider is first used. */
import { StompError } from '../../errors.js';
import type { ApiKey } from './keys.js';

/** Longest time that a timer takes: the idle limit alone decides when a request has taken too long. */
export const noTimeoutMs = 2 ** 31 - 1;

/** A client with its key, made when it is first needed. */
export class LazyClient<C> {
  readonly #readKey: () => ApiKey | undefined;
  readonly #connect: (key: string) => Promise<C>;
  #key: ApiKey | undefined;
  #client: Promise<C> | undefined;

  /** @param connect is given `none` where no key is needed: the libraries insist on one */
  constructor(readKey: () => ApiKey | undefined, connect: (key: string) => Promise<C>) {
    this.#readKey = readKey;
    this.#connect = connect;
  }

  /** The same one each time, once it could be made. @throws StompError PROVIDER_KEY_MISSING, PROVIDER_MISSING */
  get(): Promise<C> {
    this.#client ??= this.#make().catch((error: unknown) => {
      this.#client = undefined; // a key or a library may come yet
      throw error;
    });
    return this.#client;
  }

  redact(text: string): string {
    return this.#key?.redact(text) ?? text;
  }

  async #make(): Promise<C> {
    this.#key = this.#readKey();
    return this.#connect(this.#key?.reveal() ?? 'none');
  }
}

/**
 * @param library its name in the registry
 * @throws StompError PROVIDER_MISSING when it is not installed
 */
export async function loadClientLibrary<T>(library: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!isAbsence(error, library)) throw error;
    const command = `npm install ${library}`;
    throw new StompError('PROVIDER_MISSING', `This provider needs ${library}. Install it with: ${command}`, {
      fields: { library, command },
    });
  }
}

/** Not of a library that it needs in its turn. */
function isAbsence(error: unknown, library: string): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes(`'${library}'`);
}
