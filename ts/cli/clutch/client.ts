/** Asks a running server about its runs, as the person who decides. */
import type { Resolved } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { readKeyFile } from '../../serve/access/key-file.js';
import { findApproverToken } from '../approver-token.js';
import { errorIn, serverUrl } from '../running-server.js';

export class ClutchClient {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  private constructor(url: string, token: string | undefined) {
    this.url = url;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  /** @throws StompError CONFIG_INVALID for a file that cannot be read */
  static async open({ settings, origins }: Resolved, tokenFile: string | undefined): Promise<ClutchClient> {
    const { apiKeyFile } = settings;
    const key =
      apiKeyFile === undefined
        ? undefined
        : { onCommandLine: origins['api-key-file'].startsWith('--'), read: () => approverKey(apiKeyFile) };
    const token = await findApproverToken({ file: tokenFile, key, environment: process.env, settings });
    return new ClutchClient(serverUrl(settings), token);
  }

  /** @throws StompError: what the server has against it; NOT_FOUND when none answers */
  async json<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const response = await this.open(method, path, body);
    return (await response.json()) as T;
  }

  /** @throws as `json` */
  async open(method: 'GET' | 'POST', path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...this.#headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(signal ? { signal } : {}),
    }).catch((cause: unknown) => {
      signal?.throwIfAborted();
      throw new StompError('NOT_FOUND', `No server answers at ${this.url}: start one, or name its --port.`, {
        cause,
      });
    });
    if (response.ok) return response;
    throw await refusal(response);
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
