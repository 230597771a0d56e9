/** `GET /health/live`, `/health/startup` and `/health/ready`, for supervisors; HEAD as well. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { EngineStats } from '../engine/types.js';
import { resource } from './resource.js';
import type { Service } from './service.js';

export interface HealthLimits {
  /** Requests that may wait in the engine. */
  readonly maxQueue: number;
}

/**
 * Near exhaustion: so little of a pool can be had, and so much of the queue is taken, that new requests would
 * soon be refused. A full pool alone is an engine at work: finished requests give their blocks back.
 */
const LEAST_POOL_SHARE = 0.05;
const MOST_QUEUE_SHARE = 0.8;

export function health(app: FastifyInstance, service: Service, limits: HealthLimits): void {
  // Supervisors hold no keys.
  const options = { role: 'anyone' } as const;
  resource(app, '/health/live', { GET: () => ({ status: 'live' }) }, options);
  resource(
    app,
    '/health/startup',
    {
      GET: (_, reply) => (service.started ? { status: 'started' } : notYet(reply, ...absence(service))),
    },
    options,
  );
  resource(app, '/health/ready', { GET: (_, reply) => ready(service, limits, reply) }, options);
}

async function ready(service: Service, limits: HealthLimits, reply: FastifyReply): Promise<object> {
  if (service.phase !== 'ready') return notYet(reply, ...absence(service));
  // A stalled engine would not answer either.
  const stalledMs = service.loaded?.stalledMs ?? 0;
  if (stalledMs > 0)
    return notYet(reply, 'stalled', `the engine has been at one step for ${Math.round(stalledMs / 1000)} s`);
  const stats = await service.stats();
  if (stats && isNearExhaustion(stats, limits)) {
    return notYet(reply, 'near exhaustion', 'hardly a cache block is free and the queue is nearly full');
  }
  return { status: 'ready' };
}

function absence(service: Service): [status: string, reason: string] {
  const { next } = service.source.current();
  const exchange =
    next === undefined ? 'the model is being loaded or unloaded' : `${next} is being loaded instead`;
  const reasons: Partial<Record<Service['phase'], string>> = {
    draining: 'the server is shutting down',
    loading: 'the model is being loaded',
    failed: service.failure?.message ?? 'the model could not be loaded',
    swapping: exchange,
    unloaded: 'no model is loaded',
  };
  return [service.phase, reasons[service.phase] ?? ''];
}

function isNearExhaustion({ pool, waiting }: EngineStats, { maxQueue }: HealthLimits): boolean {
  const isPoolFull = pool.some(({ capacity, free, cached }) => free + cached < capacity * LEAST_POOL_SHARE);
  return isPoolFull && waiting > 0 && waiting >= maxQueue * MOST_QUEUE_SHARE;
}

function notYet(reply: FastifyReply, status: string, reason: string): object {
  void reply.code(503).header('retry-after', '2');
  return { status, reason };
}
