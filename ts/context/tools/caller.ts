/** For whom a tool of the context works, and in which session. */

import { checkAgentId } from '../../engine/agent-id.js';
import { StompError } from '../../errors.js';
import type { AnyCaller, CallerNames } from '../../tools/tool.js';
import type { AgentContextManager } from '../agent-context-manager.js';
import { noSession } from '../sessions.js';
import { defaultAgent } from '../types.js';

/** Arguments that say who is meant. */
export interface WhoArguments {
  readonly agent_id?: string;
  readonly session_id?: string;
}

/** Sessions that were started over a connection, by their agents. */
class StartedSessions {
  readonly byAgent = new Map<string, string>();
}

const newSessions = (): StartedSessions => new StartedSessions();
const nobody: CallerNames = { agentId: undefined, sessionId: undefined };

/** The rules by which a call finds its agent and its session. */
export class Callers {
  readonly #manager: AgentContextManager;

  constructor(manager: AgentContextManager) {
    this.#manager = manager;
  }

  /**
   * The argument, or whom the request names, or else the agent of those who say nothing.
   * @throws StompError INVALID_REQUEST for what is no agent id
   */
  agent(args: WhoArguments, caller: AnyCaller): string {
    const agentId = this.namedAgent(args, caller) ?? defaultAgent;
    caller?.onActor?.({ agentId });
    return agentId;
  }

  /** The same for those who may leave it open. */
  namedAgent({ agent_id: given }: WhoArguments, caller: AnyCaller): string | undefined {
    return given === undefined ? said(caller).agentId : checkAgentId(given, 'agent_id');
  }

  /**
   * The session for a change: a named one, the one of this connection, or the agent's implicit one.
   * @throws StompError NO_SESSION when the agent has a session that the call does not name; RATE_LIMITED,
   *   TOO_MANY_SESSIONS, INVALID_REQUEST, DB_BUSY
   */
  async session(args: WhoArguments, caller: AnyCaller, agentId: string): Promise<string> {
    const named = await this.namedSession(args, caller, agentId);
    const sessionId = named ?? (await this.#manager.implicitSession(agentId));
    caller?.onActor?.({ agentId, sessionId });
    return sessionId;
  }

  /** The argument, what the request says if it is a session of the context, or the one that was started here. */
  async namedSession(
    { session_id: given }: WhoArguments,
    caller: AnyCaller,
    agentId: string,
  ): Promise<string | undefined> {
    if (given !== undefined) return checkAgentId(given, 'session_id');
    return (await this.#known(said(caller).sessionId)) ?? started(caller)?.get(agentId);
  }

  /** The agent's next calls over this connection are made in it. */
  remember(caller: AnyCaller, agentId: string, sessionId: string): void {
    started(caller)?.set(agentId, sessionId);
    caller?.onActor?.({ agentId, sessionId });
  }

  /** It has ended. */
  forget(caller: AnyCaller, sessionId: string): void {
    const byAgent = started(caller);
    for (const [agentId, id] of byAgent ?? []) if (id === sessionId) byAgent?.delete(agentId);
  }

  /**
   * The session of an agent who has never started one, if it is alive.
   * @throws StompError NO_SESSION
   */
  async implicitOf(agentId: string): Promise<string> {
    const [session] = await this.#manager.listSessions({ agentId, status: 'active', limit: 1 });
    if (session?.metadata.implicit !== true) throw noSession(agentId);
    return session.session_id;
  }

  /** To locks, the name that a request gives its session may be any. */
  async #known(sessionId: string | undefined): Promise<string | undefined> {
    if (sessionId === undefined) return undefined;
    try {
      return (await this.#manager.getSession(sessionId)).session_id;
    } catch (error) {
      if (error instanceof StompError && error.code === 'NO_SESSION') return undefined;
      throw error;
    }
  }
}

function said(caller: AnyCaller): CallerNames {
  return caller?.agentId === undefined ? nobody : (caller.said ?? caller);
}

function started(caller: AnyCaller): Map<string, string> | undefined {
  return caller?.connection?.kept(newSessions).byAgent;
}
