/** `/v1/admin`: what only those do who run the server. */
import type { FastifyInstance } from 'fastify';
import { isRegistry } from '../engine-source.js';
import { Fields } from '../fields.js';
import { resource } from '../resource.js';
import type { ServedEngine, Service } from '../service.js';
import { modelRoutes } from './model-routes.js';
import { RuntimeSettings, unable } from './runtime-settings.js';
import { serverStats } from './server-stats.js';

const SEED = { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true };
const WINDOW_MS = { min: 0, max: 1000, integer: true };

export interface AdminOptions {
  /** That the engine was started with. */
  readonly batchWindowMs: number;
}

export function admin(app: FastifyInstance, service: Service, { batchWindowMs }: AdminOptions): void {
  const settings = new RuntimeSettings(service, batchWindowMs, (error) =>
    app.log.error({ err: error }, 'a setting could not be given to the new model'),
  );
  app.addHook('onClose', async () => settings.close());
  if (isRegistry(service.source)) modelRoutes(app, service.source);
  resource(app, '/v1/admin/caches/clear', {
    POST: async (request) => {
      const fields = new Fields(request.body ?? {});
      const disk = fields.flag('disk') ?? false;
      fields.end();
      await clearCaches(service.engine(), disk);
      return { cleared: true, disk };
    },
  });
  resource(app, '/v1/admin/batch-window', {
    GET: () => ({ batch_window_ms: settings.batchWindowMs }),
    PUT: async (request) => {
      const fields = new Fields(request.body);
      const ms = fields.number('batch_window_ms', WINDOW_MS);
      if (ms === undefined) throw fields.missing('batch_window_ms', 'an integer from 0 to 1000');
      fields.end();
      await settings.setBatchWindow(ms);
      return { batch_window_ms: settings.batchWindowMs };
    },
  });
  resource(app, '/v1/admin/seed', {
    GET: () => ({ seed: settings.seed ?? null }),
    PUT: async (request) => {
      await settings.setSeed(readSeed(request.body));
      return { seed: settings.seed ?? null };
    },
  });
  resource(app, '/v1/admin/stats', { GET: () => serverStats(service) });
}

async function clearCaches(engine: ServedEngine, disk: boolean): Promise<void> {
  if (!engine.clearCaches) throw unable('clear its caches');
  await engine.clearCaches({ disk });
}

/** A missing seed is a mistake, null means none. */
function readSeed(body: unknown): number | undefined {
  const fields = new Fields(body);
  if (!Object.hasOwn(body as object, 'seed'))
    throw fields.missing('seed', 'an integer, or null for random ones');
  const seed = fields.number('seed', SEED);
  fields.end();
  return seed;
}
