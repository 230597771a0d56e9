/** Progress logs as tools. */
import { refuse } from '../../arguments.js';
import { type ArgumentsOf, given, type ObjectSchema } from '../../tools/parameters.js';
import { openTool, type Tool } from '../../tools/tool.js';
import type { Meta } from '../entry.js';
import type { EntryInput } from '../new-entry.js';
import type { EntryFilter, Paging } from '../query-types.js';
import type { ToolParts } from './context-tools.js';
import { entryContent, filterContent, items, paging, project } from './entry-parameters.js';
import { adds, agent, looks, text, who } from './parameters.js';

export function entryTools(parts: ToolParts): Tool[] {
  return [appendTool, recentTool, queryTool].map((make) => make(parts));
}

const entrySchema = {
  type: 'object',
  properties: entryContent,
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;
const filterSchema = {
  type: 'object',
  description: 'What they must be like; query_entries says more of it',
  properties: filterContent,
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;
const pagingSchema = {
  type: 'object',
  properties: paging,
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

function appendTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'append_entry',
    title: 'Write into the progress log',
    description:
      'Writes what has happened into the log of the project: one "message", or several "items". What is said beside ' +
      'items holds for each that does not say it itself. Nothing is lost or changed, whoever else writes.',
    inputSchema: {
      type: 'object',
      properties: { message: text('What happened'), items, ...entryContent, project, ...who },
      required: [],
      additionalProperties: false,
    },
    hints: adds,
    run: async (args, caller) => {
      const { message, items: list } = args;
      if ((message === undefined) === (list === undefined))
        refuse('message', message, 'given, or else "items", not both');
      const agentId = callers.agent(args, caller);
      const sessionId = await callers.session(args, caller, agentId);
      const entries =
        message ?? (list ?? []).map((item) => (typeof item === 'string' ? item : entryOf(item)));
      const signal = caller?.signal;
      return {
        ...(await manager.appendEntry(entries, {
          ...contentOf(args),
          agentId,
          sessionId,
          ...given({ project: args.project, signal }),
        })),
      };
    },
  });
}

function entryOf({
  message,
  ...content
}: ArgumentsOf<typeof entrySchema> & { readonly message: string }): EntryInput {
  return { message, ...contentOf(content) };
}

function contentOf(args: ArgumentsOf<typeof entrySchema>): Omit<EntryInput, 'message'> {
  return given({
    status: args.status,
    priority: args.priority,
    category: args.category,
    tags: args.tags,
    confidence: args.confidence,
    meta: args.meta as Meta | undefined,
    emoji: args.emoji,
    timestamp: args.timestamp,
    id: args.id,
  });
}

function recentTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'read_recent',
    title: 'Read the latest entries',
    description: 'The latest entries of the log of the project, newest first, in pages.',
    inputSchema: {
      type: 'object',
      properties: { ...paging, filter: filterSchema, project, ...agent },
      required: [],
      additionalProperties: false,
    },
    hints: looks,
    run: async (args, caller) => ({
      ...(await manager.readRecent({
        ...pagingOf(args),
        agentId: callers.agent(args, caller),
        ...given({
          project: args.project,
          filter: args.filter && filterOf(args.filter),
          signal: caller?.signal,
        }),
      })),
    }),
  });
}

function queryTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'query_entries',
    title: 'Search the progress log',
    description:
      'The entries that meet every condition, newest first, in pages; "total" says how many there are. "scope" all ' +
      'looks into the logs of all projects.',
    inputSchema: {
      type: 'object',
      properties: {
        ...filterContent,
        scope: { type: 'string', enum: ['project', 'all'], description: 'Default: project' },
        order: { type: 'string', enum: ['desc', 'asc'], description: 'desc: newest first. Default: desc' },
        ...paging,
        project,
        ...agent,
      },
      required: [],
      additionalProperties: false,
    },
    hints: looks,
    run: async (args, caller) => ({
      ...(await manager.queryEntries({
        ...filterOf(args),
        ...pagingOf(args),
        agentId: callers.agent(args, caller),
        ...given({
          scope: args.scope,
          order: args.order,
          project: args.project,
          signal: caller?.signal,
        }),
      })),
    }),
  });
}

function filterOf(args: ArgumentsOf<typeof filterSchema>): EntryFilter {
  return given({
    start: args.start,
    end: args.end,
    message: args.message,
    mode: args.mode,
    caseSensitive: args.case_sensitive,
    status: args.status,
    agents: args.agents,
    emoji: args.emoji,
    priority: args.priority,
    category: args.category,
    tags: args.tags,
    meta: args.meta as Meta | undefined,
    minConfidence: args.min_confidence,
  });
}

function pagingOf(args: ArgumentsOf<typeof pagingSchema>): Omit<Paging, 'signal'> {
  return given({
    limit: args.limit,
    page: args.page,
    pageSize: args.page_size,
    cursor: args.cursor,
    fields: args.fields,
  });
}
