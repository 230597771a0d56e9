/** Ends work on which nothing has happened for too long. */
import { ended, ProviderFailure } from './failures.js';

export interface Watch {
  /** Aborted with the caller's signal, and when time is up. */
  readonly signal: AbortSignal;
  /** Something happened. Has no effect once the work is over. */
  readonly alive: () => void;
  /** Whether the caller still waits for the work. */
  readonly isOver: () => boolean;
}

/**
 * Does not depend on the work to obey its signal: the caller goes on all the same.
 * @param idleMs longest time between two signs of life; 0: no limit
 * @throws ProviderFailure a passing one, when time is up; StompError as `ended` has it, once `signal` is aborted
 */
export async function withIdleLimit<T>(
  idleMs: number,
  signal: AbortSignal,
  work: (watch: Watch) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  let onAbort = (): void => undefined;
  const interrupted = new Promise<never>((_, reject) => {
    const interrupt = (error: Error): void => {
      reject(error);
      stop.abort(error);
    };
    onAbort = () => interrupt(ended(signal));
    const expire = (): void =>
      interrupt(new ProviderFailure(`nothing came for ${idleMs / 1000} s`, { passing: true }));
    if (idleMs > 0) timer = setTimeout(expire, idleMs);
  });
  const alive = (): void => {
    if (!isOver) timer?.refresh();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work({ signal: stop.signal, alive, isOver: () => isOver }), interrupted]);
  } finally {
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
