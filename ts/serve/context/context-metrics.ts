/** What Prometheus is told of the context. Names are a contract. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { AgentContextManager } from '../../context/index.js';
import { soon } from '../metrics.js';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** @param onFailure is told when the sessions cannot be counted; they are then left out. */
export function collectContextMetrics(
  registry: Registry,
  manager: AgentContextManager,
  onFailure: (error: unknown) => void,
): void {
  const registers = [registry];
  const { figures } = manager;
  const told = new Map<string, number>();
  new Counter({
    name: 'stomp_context_events_total',
    help: 'Events of sessions, current projects and progress logs in this server, by name',
    labelNames: ['event'],
    registers,
    collect() {
      for (const [event, count] of Object.entries(figures.counts())) {
        this.inc({ event }, count - (told.get(event) ?? 0));
        told.set(event, count);
      }
    },
  });
  new Gauge({
    name: 'stomp_context_sessions_active',
    help: 'Sessions that are alive, of anybody',
    registers,
    async collect() {
      this.reset();
      try {
        this.set(await soon(manager.countActiveSessions()));
      } catch (error) {
        this.remove();
        onFailure(error);
      }
    },
  });
  const duration = new Histogram({
    name: 'stomp_context_duration_seconds',
    help: 'Setting a current project, appending to a log, querying it',
    labelNames: ['task', 'outcome'],
    buckets: seconds,
    registers,
  });
  figures.observer = (task, ms, failed) =>
    duration.observe({ task, outcome: failed ? 'failed' : 'done' }, ms / 1000);
}
