/** What has happened, and whether all is as it should be, as tools. */
import { given } from '../../tools/parameters.js';
import { openTool, type Tool } from '../../tools/tool.js';
import { contextEventTypes } from '../types.js';
import type { ToolParts } from './context-tools.js';
import { looks, nothing, text, whole } from './parameters.js';

export function watchingTools({ manager }: ToolParts): Tool[] {
  return [
    openTool({
      name: 'context_events',
      title: 'Show what has happened',
      description: 'What has happened to sessions and current projects, conflicts included, newest first.',
      inputSchema: {
        type: 'object',
        properties: {
          agent_id: text('Only what has happened to this agent'),
          type: {
            type: 'string',
            enum: contextEventTypes,
            description: 'Only events of this type',
          },
          before: whole('Only those with a smaller id, for the next page', 1),
          limit: whole('At most so many. Default: 100', 1, 1000),
        },
        required: [],
        additionalProperties: false,
      },
      hints: looks,
      run: async ({ agent_id: agentId, type, before, limit }) => ({
        events: await manager.listEvents(given({ agentId, type, before, limit })),
      }),
    }),
    openTool({
      name: 'context_verify',
      title: 'Compare the state file',
      description: 'Where the state file says something else than the database, which is the truth.',
      inputSchema: nothing,
      hints: looks,
      run: async () => {
        const drift = await manager.verify();
        return { ok: drift.length === 0, drift };
      },
    }),
    openTool({
      name: 'context_audit',
      title: 'Check progress logs',
      description: 'Compares the lines of the log files with the entries and their hash chain, one by one.',
      inputSchema: {
        type: 'object',
        properties: { project: text('Only this one. Default: all of them') },
        required: [],
        additionalProperties: false,
      },
      hints: looks,
      run: async ({ project }) => {
        const reports = await manager.audit(project);
        return { ok: reports.every(({ ok }) => ok), reports };
      },
    }),
  ];
}
