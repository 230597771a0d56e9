/** Reservations of symbols in an HTTP server: their tools under paths of their own. They need no engine. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { StompError } from '../../errors.js';
import type { Reservations } from '../../reservations/index.js';
import { toWire } from '../../reservations/wire.js';
import type { Toolbox } from '../../tools/toolbox.js';
import { type Handler, type ResourceOptions, resource } from '../resource.js';
import type { Service } from '../service.js';
import { type Asked, askedReader, type Call, caller, pathOf } from '../tools/path-call.js';
import { flatErrorBody } from '../wire-errors.js';

export function reservationRoutes(
  app: FastifyInstance,
  service: Service,
  reservations: Reservations,
  tools: Toolbox,
): void {
  const options = { errorBody: flatErrorBody, bodyLimitBytes: tools.maxRequestBytes };
  const call = caller(service, tools);
  announcingRoutes(app, reservations, call, options);
  codeRoutes(app, call, askedReader(tools), options);
}

const places = ['reservations', 'intents', 'forecast', 'merge-plan', 'reconcile', 'shards', 'impact'];

/** Where there is no repository, the paths say so: that there are none would send whoever asks to look for a typo. */
export function missingReservationRoutes(app: FastifyInstance, reason: StompError): void {
  for (const url of places.flatMap((place) => [`/v1/${place}`, `/v1/${place}/*`])) {
    app.all(url, {
      config: { errorBody: flatErrorBody },
      onRequest: async () => {
        throw reason;
      },
      handler: () => undefined,
    });
  }
}

function announcingRoutes(
  app: FastifyInstance,
  reservations: Reservations,
  call: Call,
  options: ResourceOptions,
): void {
  const named = (request: FastifyRequest) => ({ reservation_id: pathOf(request)['id'] });
  resource(
    app,
    '/v1/reservations',
    {
      GET: (request, reply) => call({ request, reply, tool: 'list_reservations' }),
      POST: (request, reply) => call({ request, reply: reply.code(201), tool: 'reserve_symbols' }),
    },
    options,
  );
  resource(
    app,
    '/v1/reservations/await',
    { POST: (request, reply) => call({ request, reply, tool: 'await_symbols' }) },
    options,
  );
  resource(
    app,
    '/v1/reservations/archive',
    { POST: (request, reply) => call({ request, reply, tool: 'archive_reservations' }) },
    { ...options, role: 'admin' },
  );
  resource(
    app,
    '/v1/reservations/:id',
    {
      GET: async (request) => toWire(await reservations.get(pathOf(request)['id'] ?? '')),
      DELETE: (request, reply) => call({ request, reply, tool: 'release_reservation', path: named(request) }),
    },
    options,
  );
  resource(
    app,
    '/v1/reservations/:id/renew',
    { POST: (request, reply) => call({ request, reply, tool: 'renew_reservation', path: named(request) }) },
    options,
  );
  resource(
    app,
    '/v1/intents',
    {
      GET: async (request, reply) => {
        const { reservations: _, ...intents } = (await call({
          request,
          reply,
          tool: 'list_reservations',
        })) as { reservations: unknown };
        return intents;
      },
      POST: (request, reply) => call({ request, reply: reply.code(201), tool: 'declare_intent' }),
    },
    options,
  );
}

function codeRoutes(app: FastifyInstance, call: Call, asked: Asked, options: ResourceOptions): void {
  const asking =
    (tool: string): Handler =>
    (request, reply) =>
      call({ request, reply, tool });
  resource(app, '/v1/forecast', { GET: asking('forecast_conflicts') }, options);
  resource(app, '/v1/merge-plan', { GET: asking('plan_merge'), POST: asking('plan_merge') }, options);
  resource(app, '/v1/reconcile', { POST: asking('reconcile_branches') }, options);
  resource(app, '/v1/shards', { GET: asking('shard_repository') }, options);
  resource(
    app,
    '/v1/impact',
    {
      GET: (request, reply) => {
        const tool = 'symbol_impact';
        return call({ request, reply, tool, args: withAddresses(request, asked(request, tool)) });
      },
      POST: asking('symbol_impact'),
    },
    options,
  );
}

/** `?address=…&address=…`, whose paths may have commas. */
function withAddresses({ query }: FastifyRequest, args: unknown): unknown {
  const { address, ...rest } = args as Record<string, unknown>;
  if (address === undefined) return rest;
  return { ...rest, addresses: [(query as { address: string | string[] }).address].flat() };
}
