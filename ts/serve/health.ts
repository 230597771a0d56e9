/** `GET /health/live`, `/health/startup` and `/health/ready`, for supervisors. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { EngineStats } from '../engine/types.js';
import { resource } from './resource.js';
import type { Service } from './service.js';

export function health(app: FastifyInstance, service: Service): void {
  // Supervisors hold no keys.
  const options = { role: 'anyone' } as const;
  resource(app, '/health/live', { GET: () => ({ status: 'live' }) }, options);
  resource(
    app,
    '/health/startup',
    {
      GET: (_, reply) =>
        service.loaded
          ? { status: 'started' }
          : notYet(reply, service.phase, service.failure?.message ?? 'the model is being loaded'),
    },
    options,
  );
  resource(app, '/health/ready', { GET: (_, reply) => ready(service, reply) }, options);
}

async function ready(service: Service, reply: FastifyReply): Promise<object> {
  if (service.phase === 'draining') return notYet(reply, 'draining', 'the server is shutting down');
  if (!service.loaded) {
    return notYet(reply, service.phase, service.failure?.message ?? 'the model is being loaded');
  }
  if (isNearExhaustion(await service.loaded.stats())) {
    return notYet(reply, 'near exhaustion', 'requests wait and no cache block is free');
  }
  return { status: 'ready' };
}

function isNearExhaustion(stats: EngineStats): boolean {
  return stats.waiting > 0 && stats.pool.some((group) => group.free + group.cached === 0);
}

function notYet(reply: FastifyReply, status: string, reason: string): object {
  void reply.code(503).header('retry-after', '2');
  return { status, reason };
}
