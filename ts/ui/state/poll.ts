/** What is asked for again and again while one looks at it. */
import { useEffect, useState } from 'preact/hooks';
import { ApiError, type RequestOptions } from '../api/client.js';
import { useServices } from './services.js';

export interface Polled<T> {
  /** The last answer. */
  readonly data: T | undefined;
  /** Why there was none this time. */
  readonly error: ApiError | undefined;
}

const everyMs = 2000;

/** Not while the page is in the background. */
export function usePoll<T>(path: string, options: Pick<RequestOptions, 'method' | 'body'> = {}): Polled<T> {
  const { api } = useServices();
  const [polled, setPolled] = useState<Polled<T>>({ data: undefined, error: undefined });
  useEffect(() => {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = async () => {
      const error = await api
        .json<T>(path, { ...options, signal: over.signal })
        .then((data) => setPolled({ data, error: undefined }))
        .catch((failure: unknown) => failure);
      if (over.signal.aborted) return;
      if (error instanceof ApiError) setPolled(({ data }) => ({ data, error }));
      timer = setTimeout(whenVisible, everyMs);
    };
    const whenVisible = () => {
      if (!document.hidden) void again();
      else document.addEventListener('visibilitychange', whenVisible, { once: true, signal: over.signal });
    };
    void again();
    return () => {
      clearTimeout(timer);
      over.abort();
    };
  }, [api, path]);
  return polled;
}
