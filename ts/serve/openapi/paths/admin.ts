/** `/v1/admin`: what only those do who run the server. */
import type { Operation, PathGroup } from '../operation.js';
import {
  choice,
  flag,
  integer,
  list,
  nullable,
  number,
  object,
  ref,
  request,
  type Schema,
  text,
} from '../shapes.js';

const count = (what: string): Schema => integer(what, { minimum: 0 });
const change = (summary: string, members: Readonly<Record<string, Schema>>): Operation => ({
  summary,
  body: request({ ...members, 'wait?': flag('Answer when it is done; else 202 at once') }),
  bodyOptional: Object.keys(members).length === 0,
  answers: {
    200: { description: 'It is done', schema: ref('ModelChange') },
    202: { description: 'It has begun', schema: ref('ModelStatus') },
  },
  errors: [404, 409, 422, 502, 507],
});
const model = { model: text('A name, a path, or a hub id', { minLength: 1 }) };
const windowMs = object(
  {
    batch_window_ms: integer('How long an idle engine waits for more requests, in ms', {
      minimum: 0,
      maximum: 1000,
    }),
  },
  { additionalProperties: false },
);
const seed = object(
  {
    seed: nullable(
      integer('Of requests that name none; null: random', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    ),
  },
  { additionalProperties: false },
);
const setting = (what: string, schema: Schema): Record<'get' | 'put', Operation> => ({
  get: { summary: `Show ${what}`, answers: { 200: { description: 'As it is', schema } } },
  put: { summary: `Change ${what}`, body: schema, answers: { 200: { description: 'As it is now', schema } } },
});

export const adminPaths: PathGroup = {
  tag: 'admin',
  description: 'For those who run the server',
  errorShape: 'Error',
  paths: {
    '/v1/admin/caches/clear': {
      post: {
        summary: 'Drop the caches of idle agents',
        body: request({ 'disk?': flag("The agents' files as well") }),
        bodyOptional: true,
        answers: {
          200: {
            description: 'They are gone',
            schema: object({ cleared: flag('Always true'), disk: flag('Files too') }),
          },
        },
        errors: [507],
      },
    },
    '/v1/admin/batch-window': setting('how long an idle engine waits for more requests', windowMs),
    '/v1/admin/seed': setting('the seed of requests that name none', seed),
    '/v1/admin/stats': {
      get: {
        summary: 'Show figures of server and engine',
        answers: { 200: { description: 'Figures', schema: object({}) } },
      },
    },
  },
};

/** REQUIRES: the server has a registry. */
export const adminModelPaths: PathGroup = {
  tag: 'models',
  description: 'Which model is served, and how another takes its place',
  errorShape: 'Error',
  paths: {
    '/v1/admin/models/current': {
      get: {
        summary: 'Show which model is served, and what becomes of it',
        answers: { 200: { description: 'As it is', schema: ref('ModelStatus') } },
      },
    },
    '/v1/admin/models/available': {
      get: {
        summary: 'List the models that can be loaded',
        answers: {
          200: {
            description: 'The models',
            schema: object({ object: text('list'), data: list(ref('AvailableModel')) }),
          },
        },
      },
    },
    '/v1/admin/models/load': { post: change('Load a model where none is', model) },
    '/v1/admin/models/swap': { post: change('Put a model in the place of the one that is served', model) },
    '/v1/admin/models/unload': { post: change('Give the memory of the model back', {}) },
  },
};

const failure = nullable(
  object({ code: text('What went wrong; stable'), message: text('The same for people') }),
);
const ms = (what: string): Schema => number(`${what}, in ms`, { minimum: 0 });

export const adminSchemas: Readonly<Record<string, Schema>> = {
  ModelStatus: object({
    state: choice('What it is doing', 'unloaded', 'loading', 'ready', 'draining', 'failed'),
    model: nullable(text('Its name')),
    aliases: list(text('Another name')),
    next: nullable(text('The one that takes its place')),
    asleep: flag('Unloaded until the next request'),
    progress: nullable(object({ phase: choice('Of loading', 'download', 'load') })),
    error: failure,
    loaded_at: nullable(text('Since when it is there', { format: 'date-time' })),
    requests: count('Under way'),
    waiting: count('For the next model'),
  }),
  ModelChange: object({
    model: nullable(text('The one that is served now')),
    previous: nullable(text('The one before')),
    changed: flag('Whether anything was done'),
    drain_ms: ms('Until requests had ended'),
    close_ms: ms('Until agents were saved and memory was given back'),
    load_ms: ms('Until the new one was there'),
    total_ms: ms('All of it'),
    cancelled_requests: count('That took too long'),
    rss_bytes: object({}, { description: 'Memory of the process before, between and after' }),
    unsaved: failure,
  }),
  AvailableModel: object({
    id: text('Its name'),
    source: text('Where it comes from'),
    here: choice('On this machine', 'yes', 'partly', 'no'),
    size_bytes: nullable(count('On disk')),
    loaded: flag('It is the one that is served'),
  }),
};
