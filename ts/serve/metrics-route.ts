/** `GET /metrics` in the text format of Prometheus. */
import type { FastifyInstance } from 'fastify';
import { resource } from './resource.js';
import type { Service } from './service.js';

export function metrics(app: FastifyInstance, service: Service): void {
  resource(app, '/metrics', {
    GET: async (_, reply) => {
      void reply.header('content-type', service.metrics.contentType);
      const engine = service.loaded;
      return service.metrics.scrape(await service.stats(), engine);
    },
  });
}
