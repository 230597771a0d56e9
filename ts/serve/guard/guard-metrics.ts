/** What Prometheus is told of the guard. Names are a contract. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Maasl } from '../../guard/index.js';
import { soon } from '../metrics.js';

/** @param onFailure is told when the locks cannot be counted; they are then left out. */
export function collectGuardMetrics(
  registry: Registry,
  maasl: Maasl,
  onFailure: (error: unknown) => void,
): void {
  const registers = [registry];
  const told = new Map<string, number>();
  new Counter({
    name: 'stomp_guard_events_total',
    help: 'Events of the stomp guard in this server, by name',
    labelNames: ['event'],
    registers,
    collect() {
      for (const [event, count] of Object.entries(maasl.telemetry.counts())) {
        this.inc({ event }, count - (told.get(event) ?? 0));
        told.set(event, count);
      }
    },
  });
  const gauge = (name: string, help: string, count: () => Promise<number>): void => {
    new Gauge({
      name,
      help,
      labelNames: ['backend'],
      registers,
      async collect() {
        this.reset();
        try {
          this.set({ backend: maasl.locks.backend }, await soon(count()));
        } catch (error) {
          onFailure(error);
        }
      },
    });
  };
  gauge(
    'stomp_locks_held',
    'Locks that are held, by anybody',
    async () => (await maasl.locks.snapshot()).length,
  );
  gauge(
    'stomp_lock_waiters',
    'Requests that wait for locks, of anybody',
    async () => (await maasl.locks.waiting()).length,
  );
}
