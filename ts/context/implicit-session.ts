/** A session for those who name none: clients that know nothing of sessions, and have the agent for themselves. */
import { randomUUID } from 'node:crypto';
import type { Storage, Work } from '../storage/storage.js';
import { lockAgent, noSession, type Sessions } from './sessions.js';
import type { AgentSession } from './types.js';

const metadata = { implicit: true } as const;

/**
 * The agent's session of this kind, kept alive by its use. Several processes share it.
 * @throws StompError NO_SESSION when the agent has a session that somebody has started: it is his who can name it
 */
export async function implicitSession(
  storage: Storage,
  sessions: Sessions,
  agentId: string,
): Promise<{ sessionId: string; started: boolean }> {
  const known = await storage.read(() => sessions.activeWithin(agentId));
  // Renewed before it is late, but not with every call.
  if (known && known.leftMs > sessions.rules.ttlMs / 2)
    return { sessionId: checked(known.session).session_id, started: false };
  const session = await storage.write(() => renewed(sessions, agentId));
  return { sessionId: session.session_id, started: session.started_at === session.last_active_at };
}

function* renewed(sessions: Sessions, agentId: string): Work<AgentSession> {
  yield* lockAgent(agentId);
  const known = yield* sessions.activeWithin(agentId);
  if (known) return yield* sessions.heartbeatWithin(checked(known.session).session_id, agentId);
  return yield* sessions.startWithin(agentId, randomUUID(), metadata);
}

function checked(session: AgentSession): AgentSession {
  if (session.metadata.implicit === true) return session;
  throw noSession(session.agent_id);
}
