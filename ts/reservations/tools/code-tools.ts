/** What will clash, and how to merge and share the work, as tools. */
import { type ArgumentsOf, given, type ObjectSchema } from '../../tools/parameters.js';
import { type AnyCaller, openTool, type Tool, type ToolDefinition } from '../../tools/tool.js';
import type { CodeCall } from '../code/code.js';
import type { Reservations } from '../reservations.js';
import { mergeToWire, toWire } from '../wire.js';
import { addresses, list, looks, text, whole } from './parameters.js';

/** Is told of source files that had to be read. */
export type OnProgress = NonNullable<CodeCall['onProgress']>;

export function codeTools(reservations: Reservations, onProgress?: OnProgress): Tool[] {
  const tools = [forecastTool, impactTool, shardTool, planMergeTool, reconcileTool];
  const callOf = (caller: AnyCaller): CodeCall => given({ signal: caller?.signal, onProgress });
  return tools.map((make) => make(reservations, callOf));
}

type CallOf = (caller: AnyCaller) => CodeCall;

function forecastTool(reservations: Reservations, callOf: CallOf): Tool {
  return codeTool({
    name: 'forecast_conflicts',
    title: 'See what will clash',
    description:
      'Conflicts between agents, from what all have announced and from who calls whom in the code: before anybody has ' +
      'edited anything. The surest first, each with its reason.',
    inputSchema: {
      type: 'object',
      properties: {
        run_id: text('Only what clashes with this run of an agent. Default: everything'),
        branch: text('Only what clashes with agents on this branch. Default: everything'),
      },
      required: [],
      additionalProperties: false,
    },
    run: async ({ run_id: runId, branch }, caller) =>
      toWire(await reservations.forecast(given({ runId, branch, ...callOf(caller) }))),
  });
}

function impactTool(reservations: Reservations, callOf: CallOf): Tool {
  return codeTool({
    name: 'symbol_impact',
    title: 'See who depends on symbols',
    description: 'Callers of the symbols, and callers of those, each with the path of calls.',
    inputSchema: {
      type: 'object',
      properties: { addresses, depth: whole('How many calls away. Default: 5', 1, 100) },
      required: ['addresses'],
      additionalProperties: false,
    },
    run: async (args, caller) =>
      toWire(await reservations.impact({ addresses: args.addresses, depth: args.depth }, callOf(caller))),
  });
}

function shardTool(reservations: Reservations, callOf: CallOf): Tool {
  return codeTool({
    name: 'shard_repository',
    title: 'Share a repository out',
    description:
      'Splits the files into parts of about as many symbols, one for each agent, so that few calls go from part to part.',
    inputSchema: {
      type: 'object',
      properties: { count: whole('How many parts', 1, 1000) },
      required: ['count'],
      additionalProperties: false,
    },
    run: async ({ count }, caller) => toWire(await reservations.shard({ count }, callOf(caller))),
  });
}

function planMergeTool(reservations: Reservations, callOf: CallOf): Tool {
  return codeTool({
    name: 'plan_merge',
    title: 'Plan a merge',
    description:
      'What merging one branch into another comes to, symbol by symbol: what is clean, what is in conflict and why, and ' +
      'what to do about it in which order. Nothing is written.',
    inputSchema: {
      type: 'object',
      properties: {
        ours: text('The branch, tag or commit that is merged into'),
        theirs: text('The one that is merged'),
        base: text('Merge as if they had parted here. Default: their common ancestor'),
        content: { type: 'boolean', description: 'Tell the texts of merged files, too. Default: false' },
      },
      required: ['ours', 'theirs'],
      additionalProperties: false,
    },
    run: async ({ ours, theirs, base, content = false }, caller) =>
      mergeToWire(await reservations.planMerge({ ours, theirs, base }, callOf(caller)), content),
  });
}

function reconcileTool(reservations: Reservations, callOf: CallOf): Tool {
  return codeTool({
    name: 'reconcile_branches',
    title: 'Find an order to merge branches in',
    description:
      'Plans every two of the branches, and tells in which order they get in with the fewest conflicts.',
    inputSchema: {
      type: 'object',
      properties: {
        branches: list('Which. Default: every local one that is not merged yet', text('A branch'), 40),
        into: text('What they are merged into. Default: the branch that is checked out'),
      },
      required: [],
      additionalProperties: false,
    },
    run: async ({ branches, into }, caller) =>
      toWire(await reservations.reconcile({ branches, into }, callOf(caller))),
  });
}

/** They only look. */
function codeTool<const S extends ObjectSchema>(
  definition: Omit<ToolDefinition<S>, 'hints'> & {
    run(args: ArgumentsOf<S>, caller: AnyCaller): Promise<object>;
  },
): Tool {
  return openTool({ ...definition, hints: looks });
}
