/** Runs, approvals and what happens, over HTTP. They need no engine. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clutch } from '../../clutch/clutch.js';
import { decide } from '../../clutch/face/decide.js';
import {
  approvalFilterOf,
  approvalFilterSchema,
  decisionSchema,
  runFilterOf,
  runFilterSchema,
  runSchema,
} from '../../clutch/face/parameters.js';
import { startRun } from '../../clutch/face/start-run.js';
import { approvalWire, ruleWire, runWire } from '../../clutch/wire.js';
import { type ArgumentsOf, type ObjectSchema, readArguments } from '../../tools/parameters.js';
import { clutchPaths, clutchSchemas } from '../openapi/paths/clutch.js';
import { type ResourceOptions, resource } from '../resource.js';
import type { Service } from '../service.js';
import { pathOf } from '../tools/path-call.js';
import { queryArguments } from '../tools/query-arguments.js';
import { flatErrorBody } from '../wire-errors.js';
import { auditRequests } from './audit-requests.js';
import { eventStream } from './event-stream.js';
import { runOptionsWire } from './run-options.js';

/** Documents and discussions of a run, or the files of an edit. */
const maxRequestBytes = 8 << 20;

const options: ResourceOptions = { errorBody: flatErrorBody, bodyLimitBytes: maxRequestBytes };
/** Of what only a person may do. */
const deciding: ResourceOptions = { ...options, role: 'approver' };

export function clutchRoutes(app: FastifyInstance, service: Service, clutch: Clutch): void {
  auditRequests(app, clutch);
  runRoutes(app, clutch);
  approvalRoutes(app, clutch);
  resource(app, '/v1/state', { GET: () => clutch.state.snapshot() }, options);
  resource(app, '/v1/events', { GET: eventStream(service, clutch) }, options);
  service.described.push({ groups: [clutchPaths], schemas: clutchSchemas });
}

function runRoutes(app: FastifyInstance, clutch: Clutch): void {
  resource(
    app,
    '/v1/runs',
    {
      GET: async ({ query }) => {
        const runs = await clutch.runs(runFilterOf(inQuery(runFilterSchema, query)));
        return { object: 'list', data: runs.map(runWire) };
      },
      POST: (request, reply) => start(clutch, request, reply),
    },
    options,
  );
  resource(app, '/v1/runs/:id', { GET: (request) => clutch.detail(idOf(request)) }, options);
  resource(
    app,
    '/v1/runs/:id/abort',
    {
      POST: async (request) => {
        readArguments(nothing, request.body);
        return runWire(await clutch.abort(idOf(request), callerName(request)));
      },
    },
    options,
  );
  resource(app, '/v1/run-options', { GET: () => runOptionsWire(clutch) }, options);
}

async function start(clutch: Clutch, request: FastifyRequest, reply: FastifyReply): Promise<object> {
  const run = await startRun(clutch, readArguments(runSchema, request.body), request.caller.approves);
  request.notes.run = run.id;
  void reply.code(201).header('location', `/v1/runs/${run.id}`);
  return runWire(run);
}

function approvalRoutes(app: FastifyInstance, clutch: Clutch): void {
  const { gates } = clutch;
  resource(
    app,
    '/v1/approvals',
    {
      GET: async ({ query }) => {
        const found = await gates.list(approvalFilterOf(inQuery(approvalFilterSchema, query)));
        return { object: 'list', data: found.map(approvalWire) };
      },
    },
    options,
  );
  resource(
    app,
    '/v1/approvals/:id',
    { GET: async (request) => approvalWire(await gates.get(idOf(request))) },
    options,
  );
  resource(
    app,
    '/v1/approvals/:id/resolve',
    {
      POST: async (request) => {
        const args = readArguments(decisionSchema, request.body);
        Object.assign(request.notes, { decision: args.decision, revision: args.revision });
        const gate = await gates.get(idOf(request));
        return approvalWire(await decide(clutch, gate, args, callerName(request)));
      },
    },
    deciding,
  );
  resource(
    app,
    '/v1/rules',
    {
      GET: async ({ query }) => {
        const { run_id: runId } = inQuery(ruleFilterSchema, query);
        return { object: 'list', data: (await gates.rules(runId)).map(ruleWire) };
      },
    },
    options,
  );
  resource(
    app,
    '/v1/rules/:id',
    {
      DELETE: async (request) => {
        const rule = await gates.revoke(idOf(request));
        request.notes.run = rule.runId;
        return ruleWire(rule);
      },
    },
    deciding,
  );
}

const nothing = { type: 'object', properties: {}, required: [], additionalProperties: false } as const;

const ruleFilterSchema = {
  type: 'object',
  properties: { run_id: { type: 'string', description: 'Only those of this run' } },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

/** @throws StompError INVALID_REQUEST */
function inQuery<S extends ObjectSchema>(schema: S, query: unknown): ArgumentsOf<S> {
  return readArguments(schema, queryArguments(schema, query as Record<string, string | readonly string[]>));
}

function idOf(request: FastifyRequest): string {
  return pathOf(request)['id'] ?? '';
}

/** As whom a request is written down. */
function callerName({ caller }: FastifyRequest): string {
  return caller.name ?? (caller.approves ? 'approver' : 'somebody without a name');
}
