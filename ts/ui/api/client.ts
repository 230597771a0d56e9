/** Requests to the server that the page came from. */

/** What the server refused, or that it cannot be reached (status 0). */
export class ApiError extends Error {
  readonly status: number;
  /** Stable; `OFFLINE` when there was no answer. */
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** The key, if any, may not see this. */
  get isForbidden(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

export interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly accept?: string;
}

export interface ApiOptions {
  /** Asked for with each request, because a person may enter it at any time. */
  readonly token: () => string | undefined;
  /** With this token nothing may be done, though perhaps looked at. */
  readonly onRefused: () => void;
}

export class Api {
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** @throws ApiError; what the signal gives as its reason */
  async json<T>(path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.open(path, options);
    return (await response.json()) as T;
  }

  /** @throws ApiError; what the signal gives as its reason */
  async open(path: string, { method = 'GET', body, signal, accept }: RequestOptions = {}): Promise<Response> {
    const token = this.#options.token();
    const headers: Record<string, string> = {
      accept: accept ?? 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const response = await fetch(path, {
      method,
      headers,
      cache: 'no-store',
      credentials: 'omit',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw new ApiError(0, 'OFFLINE', `The server cannot be reached (${String(error)}).`);
    });
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.isForbidden && method !== 'GET') this.#options.onRefused();
    throw error;
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const said = (await response.json().catch(() => undefined)) as
    | { error?: { code?: unknown; message?: unknown } }
    | undefined;
  const { code = 'UNKNOWN', message = `The server answered ${response.status}.` } = said?.error ?? {};
  return new ApiError(response.status, String(code), String(message));
}
