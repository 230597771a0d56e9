/** `/v1/reservations`, `/v1/intents`, and what is asked of the code of the repository. */
import type { Toolbox } from '../../../tools/toolbox.js';
import { queryOf, without } from '../arguments.js';
import { inPath, inQuery, type Operation, type Parameter, type PathGroup } from '../operation.js';
import { list, object, ref, type Schema, text } from '../shapes.js';
import { callerHeaders } from './tools.js';

interface CallDoc {
  readonly summary: string;
  readonly tool: string;
  readonly answer: Schema;
  readonly status?: number;
  /** Arguments that the path says. */
  readonly said?: readonly string[];
  readonly parameters?: readonly Parameter[];
  /** Beside those of any route. */
  readonly errors?: readonly number[];
}

type Describe = (doc: CallDoc) => Operation;

/** REQUIRES: the toolbox holds the tools of reservations. */
export function reservationPaths(tools: Toolbox): PathGroup {
  const acting: Describe = ({ summary, tool, answer, status = 200, said = [], parameters = [], errors }) => {
    const body = without(tools.get(tool).inputSchema, said);
    return {
      summary,
      description: `The tool \`${tool}\`. Without \`run_id\` it is done for \`X-Agent-ID\`.`,
      parameters: [...parameters, ...callerHeaders],
      body,
      bodyOptional: isOptional(body),
      answers: { [status]: { description: 'What was done', schema: answer } },
      ...(errors ? { errors } : {}),
    };
  };
  const looking: Describe = ({ summary, tool, answer, said = [], parameters = [], errors }) => ({
    summary,
    description: `The tool \`${tool}\`; the query takes its arguments.`,
    parameters: [...parameters, ...argumentsInQuery(tools, tool, said), ...callerHeaders],
    answers: { 200: { description: 'What there is', schema: answer } },
    ...(errors ? { errors } : {}),
  });
  return {
    tag: 'reservations',
    description: 'Who will touch which symbols, what will clash, and how to merge',
    errorShape: 'ToolError',
    paths: { ...announcing(acting, looking), ...onCode(acting, looking) },
  };
}

const id = inPath('id', 'Of the reservation');
const one = { parameters: [id], said: ['reservation_id'] };

function announcing(acting: Describe, looking: Describe): PathGroup['paths'] {
  const intents = looking({ summary: 'List the intents', tool: 'list_reservations', answer: ref('Intents') });
  return {
    '/v1/reservations': {
      get: looking({
        summary: 'List reservations and intents',
        tool: 'list_reservations',
        answer: ref('Reservations'),
      }),
      post: acting({
        summary: 'Reserve symbols',
        tool: 'reserve_symbols',
        status: 201,
        answer: ref('Reserved'),
        errors: [404, 409, 413],
      }),
    },
    '/v1/reservations/{id}': {
      get: {
        summary: 'Show a reservation',
        parameters: [id],
        answers: { 200: { description: 'As it is now', schema: ref('Reservation') } },
        errors: [404],
      },
      delete: acting({
        summary: 'Release a reservation',
        tool: 'release_reservation',
        answer: ref('ReservationChange'),
        errors: [404],
        ...one,
      }),
    },
    '/v1/reservations/{id}/renew': {
      post: acting({
        summary: 'Let a reservation hold for longer',
        tool: 'renew_reservation',
        answer: ref('ReservationChange'),
        errors: [404],
        ...one,
      }),
    },
    '/v1/reservations/await': {
      post: acting({
        summary: 'Wait until symbols are free',
        tool: 'await_symbols',
        answer: object({ free: { const: true }, addresses: list(text('As asked')) }),
        errors: [404, 409],
      }),
    },
    '/v1/reservations/archive': {
      post: acting({
        summary: 'Move old records aside; takes an admin key where there are keys',
        tool: 'archive_reservations',
        answer: object({ archived: { type: 'integer', description: 'How many records', minimum: 0 } }),
      }),
    },
    '/v1/intents': {
      get: intents,
      post: acting({
        summary: 'Say what will be done with symbols',
        tool: 'declare_intent',
        status: 201,
        answer: ref('Intent'),
        errors: [404],
      }),
    },
  };
}

function onCode(acting: Describe, looking: Describe): PathGroup['paths'] {
  const mergePlan = {
    summary: 'Plan a merge',
    tool: 'plan_merge',
    answer: ref('MergePlan'),
    errors: [404, 409, 413],
  };
  const impact = { tool: 'symbol_impact', answer: ref('Impact'), errors: [404] };
  return {
    '/v1/forecast': {
      get: looking({
        summary: 'See what will clash',
        tool: 'forecast_conflicts',
        answer: ref('Forecast'),
        errors: [404],
      }),
    },
    '/v1/merge-plan': {
      get: looking(mergePlan),
      post: acting({ ...mergePlan, summary: 'Plan a merge, by a body' }),
    },
    '/v1/reconcile': {
      post: acting({
        summary: 'Find an order to merge branches in',
        tool: 'reconcile_branches',
        answer: ref('Reconciliation'),
        errors: [404, 409],
      }),
    },
    '/v1/shards': {
      get: looking({
        summary: 'Share a repository out',
        tool: 'shard_repository',
        answer: ref('Shards'),
        errors: [404],
      }),
    },
    '/v1/impact': {
      get: looking({
        summary: 'See who depends on symbols',
        parameters: [
          { ...inQuery('address', 'A symbol; may be repeated', list({ type: 'string' })), required: true },
        ],
        said: ['addresses'],
        ...impact,
      }),
      post: acting({ summary: 'See who depends on symbols, by a body', ...impact }),
    },
  };
}

function isOptional(body: Schema): boolean {
  return (body as { required: readonly string[] }).required.length === 0;
}

function argumentsInQuery(tools: Toolbox, tool: string, said: readonly string[]): Parameter[] {
  const { required } = tools.get(tool).inputSchema;
  return queryOf(tools.get(tool).inputSchema, said).map((parameter) =>
    required.includes(parameter.name) ? { ...parameter, required: true } : parameter,
  );
}
