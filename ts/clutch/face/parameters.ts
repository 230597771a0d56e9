/** What requests say of runs and approvals, over HTTP and in tools: read once, by one description. */
import { type ArgumentsOf, given, type ObjectSchema } from '../../tools/parameters.js';
import { text, whole } from '../../tools/shapes.js';
import type { RunFilter, RunInput } from '../clutch.js';
import { gateStatuses } from '../gates/gate.js';
import { gatePolicies, runStatuses } from '../runs/run.js';

const ticket = {
  type: 'object',
  description: 'A part of the task, for a run of its own',
  properties: {
    id: {
      type: 'string',
      description: 'Its name in the track: 1 to 64 letters, digits, "_", "." and "-"',
      pattern: '^[A-Za-z0-9_.-]{1,64}$',
      examples: ['tests'],
    },
    role: text('Who is to do it: "a careful tester"'),
    prompt: text('What is to be done'),
    depends_on: {
      type: 'array',
      description: 'Tickets that must be done before',
      items: text('The id of a ticket'),
      minItems: 0,
      maxItems: 100,
    },
  },
  required: ['id', 'role', 'prompt'],
  additionalProperties: false,
} as const satisfies ObjectSchema;

const day = 86_400_000;

/** What a run is asked for. */
export const runSchema = {
  type: 'object',
  properties: {
    prompt: text('The task. Either it or tickets'),
    tickets: {
      type: 'array',
      description: 'The parts of a track, in any order; what one depends on is done before it',
      items: ticket,
      minItems: 1,
      maxItems: 100,
    },
    stable_md: text('Documents that the model is to know, as Markdown'),
    file_items: {
      type: 'array',
      description: 'Files that the model is given, and told of when they change; relative to base_dir',
      items: text('A path'),
      minItems: 0,
      maxItems: 1000,
    },
    disc_text: text('A discussion that went before'),
    base_dir: text('The folder to work in, in one of the roots. Default: the first root'),
    provider: text('Who answers: engine, openai, anthropic and so on, or a name of the configuration'),
    model: text("Default: the provider's"),
    temperature: { type: 'number', description: 'Default: 0', minimum: 0, maximum: 2 },
    first_tool: text(
      'The tool that the model has to call first, such as run_script. Default: as the model likes',
    ),
    max_tokens: whole('Longest answer. Default: 8192', 1, 10_000_000),
    gate: {
      type: 'string',
      enum: gatePolicies,
      description:
        'What waits for a person. all: every call that changes something; step: all that a round would change, at ' +
        'once; none: nothing. Only a person may ask for less than the server does',
    },
    gate_timeout_ms: whole('Undecided for so long, a gate is denied', 1, 365 * day),
    agent_id: text('Whose cache, files and locks it uses. Default: one of its own'),
    session_id: text('Default: one of its own'),
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

export function runInputOf(args: ArgumentsOf<typeof runSchema>): RunInput {
  return given({
    prompt: args.prompt,
    tickets: args.tickets?.map(({ depends_on: dependsOn = [], ...rest }) => ({ ...rest, dependsOn })),
    stableMd: args.stable_md,
    fileItems: args.file_items,
    discText: args.disc_text,
    baseDir: args.base_dir,
    provider: args.provider,
    model: args.model,
    temperature: args.temperature,
    maxTokens: args.max_tokens,
    firstTool: args.first_tool,
    gate: args.gate,
    gateTimeoutMs: args.gate_timeout_ms,
    agentId: args.agent_id,
    sessionId: args.session_id,
  });
}

const limit = whole('At most so many. Default: 100', 1, 1000);

/** Which runs to list. */
export const runFilterSchema = {
  type: 'object',
  properties: {
    status: { type: 'string', enum: runStatuses, description: 'Only those in this state' },
    parent_id: text('Only those that this run has begun'),
    session_id: text('Only those of this session'),
    limit,
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

export function runFilterOf({
  parent_id: parentId,
  session_id: sessionId,
  ...rest
}: ArgumentsOf<typeof runFilterSchema>): RunFilter {
  return given({ ...rest, parentId, sessionId });
}

/** Which approvals to list. */
export const approvalFilterSchema = {
  type: 'object',
  properties: {
    status: {
      type: 'string',
      enum: gateStatuses,
      description: 'Only those in this state: pending ones wait',
    },
    run_id: text('Only those of this run'),
    limit,
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

export function approvalFilterOf({ run_id: runId, ...rest }: ArgumentsOf<typeof approvalFilterSchema>) {
  return given({ ...rest, runId });
}

/** A decision of a person. */
export const decisionSchema = {
  type: 'object',
  properties: {
    decision: {
      type: 'string',
      enum: ['approve', 'reject', 'abort'],
      description: 'abort: rejected, and the whole run is ended',
    },
    edits: {
      type: 'object',
      description: 'Fields of the payload that are to be others; what runs is the payload with them',
      additionalProperties: true,
    },
    reason: text('What the model is told'),
    revision: whole('The revision of the approval that was looked at', 1),
    remember: {
      description:
        'What later calls of this run need not ask again. true: this tool in the folder of the run',
      anyOf: [
        { type: 'boolean', description: 'This tool, in the folder of the run' },
        {
          type: 'object',
          properties: {
            tool: text('The name of a tool. Default: that of the approval'),
            folder: text('A folder, relative to that of the run. Default: that of the run'),
          },
          required: [],
          additionalProperties: false,
        },
      ],
    },
  },
  required: ['decision', 'revision'],
  additionalProperties: false,
} as const satisfies ObjectSchema;

export type DecisionArguments = ArgumentsOf<typeof decisionSchema>;
