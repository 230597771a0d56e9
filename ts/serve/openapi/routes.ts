/** `/openapi.json` and `/docs`. */
import type { FastifyInstance } from 'fastify';
import { resource } from '../resource.js';
import type { Service } from '../service.js';
import { openApiDocument } from './document.js';
import { openApiPage, PAGE_POLICY } from './page.js';

export function openApi(app: FastifyInstance, service: Service): void {
  // All routes are there by the first request, and none comes later.
  let document: object | undefined;
  const described = () => (document ??= openApiDocument(service.described));
  resource(app, '/openapi.json', { GET: described });
  resource(app, '/docs', {
    GET: (_, reply) => {
      void reply.type('text/html; charset=utf-8').header('content-security-policy', PAGE_POLICY);
      return openApiPage(described());
    },
  });
}
