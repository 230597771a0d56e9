/**
 * `GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape and in Anthropic's at once: no field of theirs
 * has two meanings.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { checkModel } from '../../engine/model-name.js';
import { modelInfo, modelPage } from '../anthropic/model-info.js';
import { resource } from '../resource.js';
import type { Service } from '../service.js';

export function models(app: FastifyInstance, service: Service): void {
  resource(app, '/v1/models', { GET: () => listed(service) });
  // Hub ids have a slash in them.
  resource(app, '/v1/models/*', {
    GET: (request: FastifyRequest) => {
      checkModel((request.params as { '*': string })['*'], service.model);
      return describe(service);
    },
  });
}

function listed(service: Service): object {
  const model = describe(service);
  return { object: 'list', data: [model], ...modelPage([service.model.id]) };
}

function describe(service: Service): object {
  const info = service.info();
  return {
    id: service.model.id,
    object: 'model',
    created: service.model.created,
    owned_by: 'stomp-serve',
    name: info.name,
    family: info.family,
    context_tokens: info.contextTokens,
    aliases: service.model.aliases,
    ...modelInfo(service.model, info),
  };
}
