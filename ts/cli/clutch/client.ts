/** Asks a running server about its runs, as the person who decides. */
import type { Resolved } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { readKeyFile } from '../../serve/access/key-file.js';
import { findApproverToken } from '../approver-token.js';
import { errorIn, serverUrl } from '../running-server.js';

export class ClutchClient {
  readonly url: string;
  readonly #findToken: () => Promise<string | undefined>;
  #token: string | undefined;

  private constructor(url: string, findToken: () => Promise<string | undefined>) {
    this.url = url;
    this.#findToken = findToken;
  }

  /** @throws StompError CONFIG_INVALID for a file that cannot be read */
  static async open({ settings, origins }: Resolved, tokenFile: string | undefined): Promise<ClutchClient> {
    const { apiKeyFile } = settings;
    const key =
      apiKeyFile === undefined
        ? undefined
        : { onCommandLine: origins['api-key-file'].startsWith('--'), read: () => approverKey(apiKeyFile) };
    const source = { file: tokenFile, key, environment: process.env, settings };
    const client = new ClutchClient(serverUrl(settings), () => findApproverToken(source));
    await client.#hasNewToken();
    return client;
  }

  /** @throws StompError: what the server has against it; NOT_FOUND when none answers */
  async json<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await this.open(method, path, body);
    return (await response.json()) as T;
  }

  /** @throws as `json` */
  async open(method: 'GET' | 'POST', path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const token = this.#token;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(signal ? { signal } : {}),
    }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new StompError('NOT_FOUND', `No server answers at ${this.url}: start one, or name its --port.`, {
        cause,
      });
    });
    if (response.ok) return response;
    // A server that was started again while somebody sat here has a token of its own.
    if (response.status === 401 && (await this.#hasNewToken())) return this.open(method, path, body, signal);
    throw await refusal(response);
  }

  /** Looks for it again. @throws StompError CONFIG_INVALID */
  async #hasNewToken(): Promise<boolean> {
    const before = this.#token;
    this.#token = await this.#findToken();
    return this.#token !== before;
  }
}

async function approverKey(apiKeyFile: string): Promise<string | undefined> {
  const keys = await readKeyFile(apiKeyFile);
  return (keys.find(({ role }) => role === 'approver') ?? keys[0])?.key;
}

async function refusal(response: Response): Promise<StompError> {
  const { code, message } = errorIn(await response.json().catch(() => undefined));
  return new StompError(code ?? 'NOT_FOUND', message ?? `The server answers with ${response.status}.`);
}
