/** The tools of the clutch, for agents: they start runs and watch over them. To decide is not theirs. */
import type { ArgumentsOf } from '../../tools/parameters.js';
import { adds, looks, removes, text, whole } from '../../tools/shapes.js';
import { type AnyCaller, openTool, type Tool } from '../../tools/tool.js';
import type { ToolSet } from '../../tools/toolbox.js';
import type { Clutch } from '../clutch.js';
import type { Run } from '../runs/run.js';
import { approvalWire, runWire } from '../wire.js';
import { PersonAtClient } from './ask-person.js';
import { approvalFilterOf, approvalFilterSchema, runSchema } from './parameters.js';
import { startRun } from './start-run.js';

export interface ClutchToolsOptions {
  readonly clutch: Clutch;
  /** Whether the person behind a client is asked for decisions on the runs that it waits for. */
  readonly elicitApprovals: boolean;
}

// Documents and a discussion.
const maxRequestBytes = 8 << 20;
const longestWaitSeconds = 86_400;

/** Every tool of a clutch, for a toolbox. */
export function clutchTools(options: ClutchToolsOptions): ToolSet {
  return {
    topic: 'runs of models with tools',
    instructions:
      'run_start gives a task to a model that works on it with tools of its own; what it would change waits for a person, ' +
      'as approvals_list tells. run_status with wait_seconds waits for its end. Approvals are decided by a person, not by ' +
      'you: say that one waits, and go on with something else.',
    tools: [startTool(options), statusTool(options), abortTool(options), approvalsTool(options)],
    maxRequestBytes,
  };
}

function startTool({ clutch }: ClutchToolsOptions): Tool {
  return openTool({
    name: 'run_start',
    title: 'Start a run',
    description:
      'Gives a task, or a track of tickets that depend on each other, to a model that works on it with tools. What it would ' +
      'change waits for a person. Comes back at once, with the id of the run.',
    inputSchema: runSchema,
    hints: adds,
    run: async (args, caller) => told(await startRun(clutch, args, false), caller),
  });
}

const statusSchema = {
  type: 'object',
  properties: {
    run_id: text('The run'),
    wait_seconds: whole('Wait for its end for so long. Default: 0', 0, longestWaitSeconds),
    with_messages: { type: 'boolean', description: 'Tell all that was said and done, too. Default: false' },
  },
  required: ['run_id'],
  additionalProperties: false,
} as const;

function statusTool(options: ClutchToolsOptions): Tool {
  return openTool({
    name: 'run_status',
    title: 'Show a run',
    description: 'How far a run is, what it has come to, and what of it waits for a person.',
    inputSchema: statusSchema,
    hints: looks,
    waits: true,
    run: (args, caller) => status(options, args, caller),
  });
}

async function status(
  options: ClutchToolsOptions,
  { run_id: id, wait_seconds: seconds = 0, with_messages: withMessages }: ArgumentsOf<typeof statusSchema>,
  caller: AnyCaller,
): Promise<object> {
  const { clutch } = options;
  const run = await clutch.run(id);
  if (seconds > 0 && run.endedAt === undefined) await waitForEnd(options, id, seconds * 1000, caller);
  const now = withMessages ? await clutch.detail(id) : runWire(await clutch.run(id));
  const waiting = await clutch.gates.list({ status: 'pending', runId: id });
  return { ...now, approvals: waiting.map(approvalWire) };
}

/** @throws what the signal of the caller gives as its reason */
async function waitForEnd(
  { clutch, elicitApprovals }: ClutchToolsOptions,
  id: string,
  ms: number,
  caller: AnyCaller,
): Promise<void> {
  const over = new AbortController();
  const cancel = () => over.abort(caller?.signal?.reason);
  const timer = setTimeout(() => over.abort(), ms);
  caller?.signal?.addEventListener('abort', cancel, { once: true });
  if (caller?.signal?.aborted) cancel();
  const person =
    elicitApprovals && caller?.person
      ? new PersonAtClient(clutch, caller.person).decide(id, over.signal)
      : undefined;
  try {
    await Promise.race([clutch.ended(id, over.signal), ...(person ? [person] : [])]);
  } catch (error) {
    if (!over.signal.aborted || caller?.signal?.aborted) throw error;
  } finally {
    clearTimeout(timer);
    caller?.signal?.removeEventListener('abort', cancel);
    over.abort();
    await person;
  }
}

function abortTool({ clutch }: ClutchToolsOptions): Tool {
  return openTool({
    name: 'run_abort',
    title: 'End a run',
    description:
      'Ends a run, those it has begun, and what of them waits for a person. What was done stays done.',
    inputSchema: {
      type: 'object',
      properties: { run_id: text('The run') },
      required: ['run_id'],
      additionalProperties: false,
    },
    hints: removes,
    run: async ({ run_id: id }, caller) =>
      told(await clutch.abort(id, caller?.agentId ?? 'somebody without a name'), caller),
  });
}

function approvalsTool({ clutch }: ClutchToolsOptions): Tool {
  return openTool({
    name: 'approvals_list',
    title: 'List approvals',
    description:
      'What waits for a person, those that wait the longest first; then what was decided, the newest first.',
    inputSchema: approvalFilterSchema,
    hints: looks,
    run: async (args) => ({ approvals: (await clutch.gates.list(approvalFilterOf(args))).map(approvalWire) }),
  });
}

function told(run: Run, caller: AnyCaller): object {
  caller?.onActor?.({ agentId: run.agentId, sessionId: run.sessionId });
  return runWire(run);
}
