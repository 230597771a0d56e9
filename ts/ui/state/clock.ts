/** One clock for all countdowns of the page. */
import { useEffect, useState } from 'preact/hooks';
import { useServices } from './services.js';

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    for (const each of [...listeners]) each();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Milliseconds since 1970 by the server's clock, anew each second. */
export function useNow(): number {
  const { live } = useServices();
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => watch(() => setNow(Date.now())), []);
  return now + live.skewMs;
}
