/** The tools of the context. */
import type { AnyCaller, Tool } from '../../tools/tool.js';
import type { ToolSet } from '../../tools/toolbox.js';
import type { AgentContextManager } from '../agent-context-manager.js';
import { defaultAgent } from '../types.js';
import { Callers } from './caller.js';
import { entryTools } from './entry-tools.js';
import { projectTools } from './project-tools.js';
import { sessionTools } from './session-tools.js';
import { watchingTools } from './watching-tools.js';

/** What the tools work with. */
export interface ToolParts {
  readonly manager: AgentContextManager;
  readonly callers: Callers;
}

// A thousand entries, with their messages and whatever else they say.
const maxRequestBytes = 4 << 20;

/** Every tool of a context, for a toolbox. */
export function contextTools(manager: AgentContextManager): ToolSet {
  return {
    topic: 'sessions, projects and progress of agents',
    instructions:
      'Each agent has a current project: set_project sets it, get_project tells it. Agents that share a name pass the ' +
      'version they know as expected_version: VERSION_CONFLICT says that somebody was faster, and what is current. ' +
      'Write down what you do with append_entry, and read what others have done with read_recent and query_entries. ' +
      'Say who you are with agent_id; without it you are Scribe. An agent that starts a session with session_start keeps ' +
      'it alive with session_heartbeat.',
    tools: toolsOf(manager),
    maxRequestBytes,
  };
}

/** What the tools take, for whoever has no context yet: help, and the reading of a command line. */
export function contextToolShapes(): readonly Omit<Tool, 'call'>[] {
  // Only a call would use it.
  return toolsOf(undefined as unknown as AgentContextManager);
}

function toolsOf(manager: AgentContextManager): Tool[] {
  const parts = { manager, callers: new Callers(manager) };
  const working = [sessionTools, projectTools, entryTools].flatMap((make) => make(parts));
  // To look for drift of the state file must not write it.
  return [...working.map((tool) => noted(tool, manager)), ...watchingTools(parts)];
}

/** The same; the state file shows which tools were used last. */
function noted(tool: Tool, manager: AgentContextManager): Tool {
  return {
    ...tool,
    call: async (args, caller) => {
      let agentId = caller?.agentId === undefined ? defaultAgent : (caller.said ?? caller).agentId;
      const watched: AnyCaller = {
        ...caller,
        onActor: (actor) => {
          ({ agentId } = actor);
          caller?.onActor?.(actor);
        },
      };
      const result = await tool.call(args, watched);
      manager.toolUsed(tool.name, agentId ?? defaultAgent);
      return result;
    },
  };
}
