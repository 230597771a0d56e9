/** Asks the server that runs with these settings, if one does. */
import type { Settings } from '../config/index.js';
import { isStompErrorCode, StompError, type StompErrorCode } from '../errors.js';
import { readKeyFile } from '../serve/access/key-file.js';

/** Where it would be. */
export function serverUrl({ host, port }: Settings): string {
  return `http://${askedHost(host)}:${port}`;
}

/** Where a server on all addresses can be asked from here. */
function askedHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** Every role may look at agents, and remove them. */
async function firstKey({ apiKeyFile }: Settings): Promise<string | undefined> {
  return apiKeyFile === undefined ? undefined : (await readKeyFile(apiKeyFile))[0]?.key;
}

/**
 * @returns undefined when nobody listens, or somebody who is not a stomp-serve that is ready.
 * @throws StompError UNAUTHORIZED, and what the server has against a change
 */
export async function askServer<T = unknown>(
  settings: Settings,
  method: 'GET' | 'DELETE',
  path: string,
): Promise<T | undefined> {
  if (settings.port === 0) return undefined;
  const key = await firstKey(settings);
  const url = serverUrl(settings);
  let response: Response;
  try {
    response = await fetch(url + path, {
      method,
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(5000),
    });
  } catch {
    return undefined;
  }
  if (response.status === 401) {
    throw new StompError(
      'UNAUTHORIZED',
      `The server at ${url} wants one of its API keys: name its file with --api-key-file.`,
    );
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as T;
  const { code, message } = errorIn(body);
  if (method !== 'GET' && code) throw new StompError(code, String(message));
  return undefined;
}

/** What one of our servers says it has against a request. */
export function errorIn(body: unknown): { code: StompErrorCode | undefined; message: string | undefined } {
  const { code, message } =
    (body as { error?: { code?: unknown; message?: unknown } } | undefined)?.error ?? {};
  return {
    code: isStompErrorCode(code) ? code : undefined,
    message: message === undefined ? undefined : String(message),
  };
}
