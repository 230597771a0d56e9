/** The tools of the context. */
import type { ToolSet } from '../../tools/toolbox.js';
import type { AgentContextManager } from '../agent-context-manager.js';
import { Callers } from './caller.js';
import { eventTools } from './event-tools.js';
import { projectTools } from './project-tools.js';
import { sessionTools } from './session-tools.js';

/** What the tools work with. */
export interface ToolParts {
  readonly manager: AgentContextManager;
  readonly callers: Callers;
}

// A thousand entries, with their messages and whatever else they say.
const maxRequestBytes = 4 << 20;

/** Every tool of a context, for a toolbox. */
export function contextTools(manager: AgentContextManager): ToolSet {
  const parts = { manager, callers: new Callers(manager) };
  return {
    topic: 'sessions and projects of agents',
    instructions:
      'Each agent has a current project: set_project sets it, get_project tells it. Agents that share a name pass the ' +
      'version they know as expected_version: VERSION_CONFLICT says that somebody was faster, and what is current. ' +
      'Say who you are with agent_id; without it you are Scribe. An agent that starts a session with session_start keeps ' +
      'it alive with session_heartbeat.',
    tools: [...sessionTools(parts), ...projectTools(parts), ...eventTools(parts)],
    maxRequestBytes,
  };
}
