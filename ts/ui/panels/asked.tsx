/** What a panel shows of an answer, or why there is none. */
import type { ComponentChildren } from 'preact';
import type { RequestOptions } from '../api/client.js';
import { type Polled, usePoll } from '../state/poll.js';

export interface AskedProps<T> {
  readonly path: string;
  readonly request?: Pick<RequestOptions, 'method' | 'body'>;
  readonly children: (data: T) => ComponentChildren;
}

export function Asked<T>({ path, request, children }: AskedProps<T>) {
  const { data, error }: Polled<T> = usePoll<T>(path, request);
  if (error) return <p class="empty">{error.message}</p>;
  return <div class="asked">{data === undefined ? <p class="empty">Reading…</p> : children(data)}</div>;
}
