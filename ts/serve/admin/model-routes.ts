/** `/v1/admin/models`: which model is served, which others there are, and how one takes another's place. */
import { setImmediate } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ModelChange, ModelStatus } from '../../engine/model-status.js';
import type { LoadProgress } from '../../engine/types.js';
import type { StompError } from '../../errors.js';
import type { ServedRegistry } from '../engine-source.js';
import { Fields } from '../fields.js';
import { type Handler, resource } from '../resource.js';

export function modelRoutes(app: FastifyInstance, registry: ServedRegistry): void {
  resource(app, '/v1/admin/models/current', { GET: () => statusBody(registry.current()) });
  resource(app, '/v1/admin/models/available', { GET: () => available(registry) });
  const change =
    <T>(read: (fields: Fields) => T, begin: (asked: T) => Promise<ModelChange>): Handler =>
    (request, reply) => {
      const fields = new Fields(request.body ?? {});
      const wait = fields.flag('wait') ?? true;
      const asked = read(fields);
      fields.end();
      const running = begin(asked);
      return wait ? running.then(changeBody) : begun(registry, running, request, reply);
    };
  resource(app, '/v1/admin/models/load', { POST: change(modelOf, (model) => registry.load(model)) });
  resource(app, '/v1/admin/models/swap', { POST: change(modelOf, (model) => registry.swap(model)) });
  resource(app, '/v1/admin/models/unload', {
    POST: change(
      () => undefined,
      () => registry.unload(),
    ),
  });
}

/** What is refused at once is an error; after that, `current` tells how it goes. */
async function begun(
  registry: ServedRegistry,
  running: Promise<ModelChange>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<object> {
  let isRefused = true;
  running.catch((error: unknown) => {
    if (!isRefused) request.log.error({ err: error }, 'a model could not be exchanged');
  });
  await Promise.race([running, setImmediate()]);
  isRefused = false;
  void reply.code(202);
  return statusBody(registry.current());
}

function modelOf(fields: Fields): string {
  const model = fields.text('model');
  if (model === undefined) throw fields.missing('model', 'a name, path or hub id');
  return model;
}

async function available(registry: ServedRegistry): Promise<object> {
  const models = await registry.available();
  const { state, model, aliases } = registry.current();
  const served = state === 'ready' ? [model, ...aliases] : [];
  const data = models.map(({ name, source, here, sizeBytes, description, license }) => ({
    id: name,
    source,
    here,
    size_bytes: sizeBytes,
    loaded: served.includes(name),
    ...(description === undefined ? {} : { description, license }),
  }));
  return { object: 'list', data };
}

function statusBody(status: ModelStatus): object {
  return {
    state: status.state,
    model: status.model ?? null,
    aliases: status.aliases,
    next: status.next ?? null,
    asleep: status.asleep,
    progress: status.progress ? progressBody(status.progress) : null,
    error: status.failure ? failureBody(status.failure) : null,
    loaded_at: status.loadedAtMs === undefined ? null : new Date(status.loadedAtMs).toISOString(),
    requests: status.requests,
    waiting: status.waiting,
  };
}

function progressBody(progress: LoadProgress): object {
  if (progress.phase === 'load') return { phase: 'load', fraction: progress.fraction };
  const { file, doneBytes, totalBytes = null } = progress;
  return {
    phase: 'download',
    file,
    done_bytes: doneBytes,
    total_bytes: totalBytes,
    fraction: totalBytes ? doneBytes / totalBytes : null,
  };
}

function changeBody(change: ModelChange): object {
  return {
    model: change.model ?? null,
    previous: change.previous ?? null,
    changed: change.changed,
    drain_ms: Math.round(change.drainMs),
    close_ms: Math.round(change.closeMs),
    load_ms: Math.round(change.loadMs),
    total_ms: Math.round(change.totalMs),
    cancelled_requests: change.cancelledRequests,
    rss_bytes: change.rssBytes,
    unsaved: change.unsaved ? failureBody(change.unsaved) : null,
  };
}

function failureBody({ code, message }: StompError): object {
  return { code, message };
}
