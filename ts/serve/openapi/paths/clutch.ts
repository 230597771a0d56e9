/** `/v1/runs`, `/v1/approvals`, `/v1/rules`, `/v1/state` and `/v1/events`. */

import { auditFiles } from '../../../clutch/audit/run-audit.js';
import {
  approvalFilterSchema,
  decisionSchema,
  runFilterSchema,
  runSchema,
} from '../../../clutch/face/parameters.js';
import { gateKinds, gateStatuses } from '../../../clutch/gates/gate.js';
import { gatePolicies, runStatuses, ticketStatuses } from '../../../clutch/runs/run.js';
import { queryOf } from '../arguments.js';
import { inHeader, inPath, inQuery, type PathGroup } from '../operation.js';
import { choice, flag, integer, list, object, ref, type Schema, text } from '../shapes.js';

const person = 'Takes a key of the role approver, or without keys the approver token.';
const ofRun = inPath('id', 'Of the run');
const ofApproval = inPath('id', 'Of the approval');
const listOf = (name: string): Schema => object({ object: text('list'), data: list(ref(name)) });

export const clutchPaths: PathGroup = {
  tag: 'runs',
  description: 'Tasks that a model works on with tools, and what of it waits for a person',
  errorShape: 'ToolError',
  paths: {
    '/v1/runs': {
      get: {
        summary: 'List runs, newest first',
        parameters: queryOf(runFilterSchema, []),
        answers: { 200: { description: 'The runs', schema: listOf('Run') } },
      },
      post: {
        summary: 'Start a run',
        description: `Less of a gate than the server has by default takes the same as a decision. ${person}`,
        body: { ...runSchema },
        answers: { 201: { description: 'It has begun', schema: ref('Run') } },
        errors: [404],
      },
    },
    '/v1/runs/{id}': {
      get: {
        summary: 'Show a run with all that was said and done in it',
        parameters: [ofRun],
        answers: { 200: { description: 'As it is now', schema: ref('RunDetail') } },
        errors: [404],
      },
    },
    '/v1/runs/{id}/abort': {
      post: {
        summary: 'End a run, those it has begun, and what of them waits for a person',
        parameters: [ofRun],
        body: object({}, { additionalProperties: false }),
        bodyOptional: true,
        answers: { 200: { description: 'It is ended', schema: ref('Run') } },
        errors: [404, 409],
      },
    },
    '/v1/run-options': {
      get: {
        summary: 'Show what runs can be asked for here',
        answers: { 200: { description: 'What there is to choose from', schema: ref('RunOptions') } },
      },
    },
    '/v1/state': {
      get: {
        summary: 'Show runs, approvals and rules as they are now',
        answers: {
          200: { description: 'After the event with the number `seq`', schema: ref('ClutchState') },
        },
      },
    },
    '/v1/events': {
      get: {
        summary: 'Follow what happens',
        description:
          'Each event once, in order, with its number as its id. `snapshot`, first where no number was said or what ' +
          'followed it is gone: the whole state. `system`, every second and without a number: figures of the process.',
        parameters: [
          inQuery('after', 'The number of the last event that is known', { type: 'integer', minimum: 0 }),
          inHeader('Last-Event-ID', 'The same, as browsers say it'),
        ],
        answers: { 200: { description: 'The events', schema: {}, mediaType: 'text/event-stream' } },
      },
    },
    ...approvalPaths(),
  },
};

function approvalPaths(): PathGroup['paths'] {
  return {
    '/v1/approvals': {
      get: {
        summary: 'List approvals: those that wait, the longest first, then the others, the newest first',
        parameters: queryOf(approvalFilterSchema, []),
        answers: { 200: { description: 'The approvals', schema: listOf('Approval') } },
      },
    },
    '/v1/approvals/{id}': {
      get: {
        summary: 'Show what waits for a person, or what was decided',
        parameters: [ofApproval],
        answers: { 200: { description: 'As it is now', schema: ref('Approval') } },
        errors: [404],
      },
    },
    '/v1/approvals/{id}/resolve': {
      post: {
        summary: 'Decide',
        description: `Of all who try, one succeeds. ${person}`,
        parameters: [ofApproval],
        body: { ...decisionSchema },
        answers: { 200: { description: 'As it was decided: this is what runs', schema: ref('Approval') } },
        errors: [404, 409, 410],
      },
    },
    '/v1/rules': {
      get: {
        summary: 'List what runs need not ask any more',
        parameters: [inQuery('run_id', 'Only those of this run', { type: 'string' })],
        answers: { 200: { description: 'The rules', schema: listOf('Rule') } },
      },
    },
    '/v1/rules/{id}': {
      delete: {
        summary: 'Revoke a rule',
        description: person,
        parameters: [inPath('id', 'Of the rule')],
        answers: { 200: { description: 'As it was', schema: ref('Rule') } },
        errors: [404],
      },
    },
  };
}

const time = (what: string): Schema => integer(`${what}, in ms since 1970`);
const count = (what: string): Schema => integer(what, { minimum: 0 });
const payload = (what: string): Schema => object({}, { description: what });

const run = {
  object: text('run'),
  id: text('Its id'),
  agent_id: text('Whose cache, files and locks it uses'),
  session_id: text('In which session'),
  'parent_id?': text('The run that has begun it'),
  'track_id?': text('The track that it is a part of'),
  'ticket_id?': text('Its ticket there'),
  prompt: text('The task'),
  base_dir: text('Where it works'),
  provider: text('Who answers'),
  model: text('Which model'),
  gate: choice('What waits for a person', ...gatePolicies),
  status: choice('What it is doing', ...runStatuses),
  rounds: count('Rounds of tool calls so far'),
  usage: object({
    input_tokens: count('Of all prompts'),
    cached_tokens: count('Of them, not computed anew'),
    output_tokens: count('Of all answers'),
  }),
  'output?': text('The last words of the model'),
  'stopped?': choice('Why it ended before the model had', 'rounds', 'length'),
  'error?': object({ code: text('What went wrong; stable'), message: text('The same for people') }),
  'tickets?': list(
    object({
      id: text('Of the ticket'),
      role: text('Who is to do it'),
      prompt: text('What is to be done'),
      depends_on: list(text('A ticket')),
      status: choice('How it is', ...ticketStatuses),
      'run_id?': text('The run that works on it'),
    }),
  ),
  created_at: time('When it was asked for'),
  updated_at: time('When it changed last'),
  'ended_at?': time('When it was over'),
};

export const clutchSchemas: Readonly<Record<string, Schema>> = {
  Run: object(run),
  RunDetail: object({
    ...run,
    messages: list(object({}, { description: 'What was said' })),
    calls: list(
      object({
        message: count('Number of the message that asks for it'),
        position: count('Among the calls of that message'),
        tool: text('Its name'),
        state: choice('How far it is', 'proposed', 'started', 'ended'),
        payload: payload('What ran or would run'),
        'approval_id?': text('What a person decided of it'),
        'output?': text('What came of it'),
        'failed?': flag('It did not do what it was asked for'),
      }),
    ),
    'audit_heads?': object(
      Object.fromEntries(
        Object.entries(auditFiles).map(([file, { name }]) => [
          file,
          object({
            seq: count(`Of the last entry of ${name}`),
            hash: text('Its hash; empty before the first'),
          }),
        ]),
      ),
      { description: 'Where the audit of its session was when a call of it began last, or it was done' },
    ),
  }),
  Approval: object({
    object: text('approval'),
    id: text('Its id'),
    run_id: text('Whose it is'),
    'ticket_id?': text('Of a track'),
    kind: choice('What waits', ...gateKinds),
    'tool?': text('Of a call'),
    status: choice('How it is', ...gateStatuses),
    revision: integer('A decision names the one that was seen', { minimum: 1 }),
    proposed: payload('As the model wrote it'),
    payload: payload('As it is shown, or was decided'),
    preview: object({ title: text('What would happen'), 'diff?': text('Of what would change') }),
    digest: text('SHA-256 of what is shown'),
    requester: text('Who asks'),
    created_at: time('Since when it waits'),
    deadline_at: time('Undecided until then, it is denied'),
    'decided_at?': time('When it was decided'),
    'decided_by?': text('By whom'),
    'reason?': text('What the model is told'),
  }),
  Rule: object({
    object: text('rule'),
    id: text('Its id'),
    run_id: text('Whose calls need not ask'),
    tool: text('Calls of this tool'),
    folder: text('That touch nothing outside of it'),
    approval_id: text('With which decision it was made'),
    made_by: text('By whom'),
    created_at: time('When'),
  }),
  RunOptions: object({
    providers: list(object({ name: text('Its name'), default_model: text('Of runs that name none') })),
    'default_provider?': text('Of runs that name none'),
    base_dirs: list(text('A folder to work in')),
    gate: choice('Of runs that say nothing', ...gatePolicies),
  }),
  ClutchState: object({
    seq: count('Of the last event that is in it'),
    runs: object({}, { description: 'By id' }),
    approvals: object({}, { description: 'By id' }),
    rules: object({}, { description: 'By id' }),
  }),
};
