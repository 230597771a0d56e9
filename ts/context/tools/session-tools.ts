/** Sittings of agents as tools. */
import { given } from '../../tools/parameters.js';
import { type AnyCaller, openTool, type Tool } from '../../tools/tool.js';
import type { Meta } from '../entry.js';
import type { AgentSession } from '../types.js';
import type { ToolParts } from './context-tools.js';
import { adds, agent, changes, looks, meta, removes, text, who, whole } from './parameters.js';

export function sessionTools(parts: ToolParts): Tool[] {
  return [startTool(parts), heartbeatTool(parts), endTool(parts), listTool(parts)];
}

function startTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'session_start',
    title: 'Start a session',
    description:
      "Begins a sitting of an agent under a lease; the agent's last one is over. Keep it alive with session_heartbeat. " +
      'Changes of the current project and entries of the log are made in it.',
    inputSchema: {
      type: 'object',
      properties: {
        ...agent,
        session_id: text('An id of your own choice. By default one is made'),
        metadata: { ...meta, description: 'Whatever there is to say about it, by names of your own' },
      },
      required: [],
      additionalProperties: false,
    },
    hints: adds,
    run: async (args, caller) => {
      const agentId = callers.agent(args, caller);
      const options = given({ sessionId: args.session_id, metadata: args.metadata as Meta | undefined });
      const session = await manager.startSession(agentId, options);
      callers.remember(caller, agentId, session.session_id);
      return { ...session };
    },
  });
}

function heartbeatTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'session_heartbeat',
    title: 'Keep a session alive',
    description:
      'Lets a session live on for its time from now. SESSION_EXPIRED: it is over; start another one.',
    inputSchema: { type: 'object', properties: who, required: [], additionalProperties: false },
    hints: changes,
    run: async (args, caller) => {
      const agentId = callers.agent(args, caller);
      const sessionId = await callers.session(args, caller, agentId);
      // Whoever names a session and no agent means the session's.
      const session = await manager.heartbeat(sessionId, callers.namedAgent(args, caller));
      tellActor(caller, session);
      return { ...session };
    },
  });
}

function endTool({ manager, callers }: ToolParts): Tool {
  return openTool({
    name: 'session_end',
    title: 'End a session',
    description: 'Ends a session; one that is over already stays as it is.',
    inputSchema: { type: 'object', properties: who, required: [], additionalProperties: false },
    hints: removes,
    run: async (args, caller) => {
      const agentId = callers.agent(args, caller);
      const named = await callers.namedSession(args, caller, agentId);
      const sessionId = named ?? (await callers.implicitOf(agentId));
      const session = await manager.endSession(sessionId, callers.namedAgent(args, caller));
      callers.forget(caller, sessionId);
      tellActor(caller, session);
      return { ...session };
    },
  });
}

/** Who has named only a session has worked for its agent. */
function tellActor(caller: AnyCaller, { agent_id: agentId, session_id: sessionId }: AgentSession): void {
  caller?.onActor?.({ agentId, sessionId });
}

function listTool({ manager }: ToolParts): Tool {
  return openTool({
    name: 'session_list',
    title: 'Show sessions',
    description: 'The sessions of one agent or of all, latest first.',
    inputSchema: {
      type: 'object',
      properties: {
        agent_id: text('Only those of this agent'),
        status: {
          type: 'string',
          enum: ['active', 'expired'],
          description: 'Only those that are alive, or only those that are over',
        },
        limit: whole('At most so many. Default: 100', 1, 10_000),
      },
      required: [],
      additionalProperties: false,
    },
    hints: looks,
    run: async ({ agent_id: agentId, status, limit }) => ({
      sessions: await manager.listSessions(given({ agentId, status, limit })),
    }),
  });
}
