/**
 * Sittings of agents, each under a lease. An agent has one at a time: a new one supersedes the last. What is in the
 * database counts, so they outlive any process.
 */
import { randomUUID } from 'node:crypto';
import { StompError } from '../errors.js';
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import type { WallClock } from '../storage/wall-clock.js';
import type { Meta } from './entry.js';
import { recordEvent, textOf } from './events.js';
import type { AgentSession } from './types.js';

export interface SessionRules {
  /** How long a session lives unless it is renewed. */
  readonly ttlMs: number;
  /** Of all agents together. */
  readonly maxActive: number;
  /** Of one agent. */
  readonly startsPerMinute: number;
}

export interface SessionFilter {
  readonly agentId?: string | undefined;
  readonly status?: 'active' | 'expired' | undefined;
  readonly limit: number;
}

const minuteMs = 60_000;
/** More than can be on their way to their commits; with less room than that they wait for each other. */
const mostStartsAtOnce = 200;
/** Expired in one transaction, so that others get in between. */
const batch = 500;

const columns = 'id, agent_id, started_at, last_active_at, expires_at, status, reason, metadata';

export class Sessions {
  readonly rules: SessionRules;
  readonly #storage: Storage;
  readonly #clock: WallClock;

  constructor(storage: Storage, clock: WallClock, rules: SessionRules) {
    this.#storage = storage;
    this.#clock = clock;
    this.rules = rules;
  }

  /** @throws StompError RATE_LIMITED, TOO_MANY_SESSIONS, SESSION_MISMATCH, DB_BUSY */
  start(agentId: string, sessionId: string = randomUUID(), metadata: Meta = {}): Promise<AgentSession> {
    const startWithin = () => this.startWithin(agentId, sessionId, metadata);
    let made: AgentSession | undefined;
    return this.#storage.write(function* () {
      // By a run of the same work whose commit was not heard of: it is not begun, counted and told of twice.
      const known = made && (yield* find(sessionId));
      if (known && JSON.stringify(known) === JSON.stringify(made)) return known;
      made = yield* startWithin();
      return made;
    });
  }

  /** The same within a transaction. */
  *startWithin(agentId: string, sessionId: string, metadata: Meta): Work<AgentSession> {
    const now = yield* this.#clock.now();
    yield* lockAgent(agentId);
    const known = yield* find(sessionId);
    if (known && known.agent_id !== agentId) throw mismatch(known, agentId);
    yield* this.#checkRate(agentId, now);
    yield* this.#checkRoom(agentId, now);
    yield* supersede(agentId, sessionId, now);
    const expires = now + this.rules.ttlMs;
    const [row] = yield* rows(
      `INSERT INTO agent_sessions (${columns}) VALUES (?, ?, ?, ?, ?, 'active', NULL, ?)
       ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, last_active_at = excluded.last_active_at,
         expires_at = excluded.expires_at, status = 'active', reason = NULL, metadata = excluded.metadata
         WHERE agent_sessions.agent_id = excluded.agent_id
       RETURNING ${columns}`,
      sessionId,
      agentId,
      now,
      now,
      expires,
      JSON.stringify(metadata),
    );
    // Another agent has taken the name since it was looked for.
    if (!row) throw mismatch(yield* owned(sessionId, undefined), agentId);
    yield* recordEvent({ agentId, sessionId, type: 'session_started', metadata, at: now });
    return sessionOf(row);
  }

  /**
   * Lets a session live on, if it is alive.
   * @param agentId whose it must be; undefined: anybody's
   * @throws StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, DB_BUSY
   */
  heartbeat(sessionId: string, agentId: string | undefined): Promise<AgentSession> {
    return this.#storage.write(() => this.heartbeatWithin(sessionId, agentId));
  }

  /** The same within a transaction. */
  *heartbeatWithin(sessionId: string, agentId: string | undefined): Work<AgentSession> {
    const { session: alive, now } = yield* this.aliveWithin(sessionId, agentId);
    const [row] = yield* rows(
      `UPDATE agent_sessions SET last_active_at = ?, expires_at = ? WHERE id = ? AND status = 'active' AND expires_at > ?
       RETURNING ${columns}`,
      now,
      now + this.rules.ttlMs,
      sessionId,
      now,
    );
    // Superseded by another process in this very moment.
    if (!row) throw expired({ ...alive, status: 'expired', reason: 'superseded' });
    return sessionOf(row);
  }

  /**
   * Ends a session; one that has ended is left as it is.
   * @throws StompError NO_SESSION, SESSION_MISMATCH, DB_BUSY
   */
  end(sessionId: string, agentId: string | undefined): Promise<AgentSession> {
    const clock = this.#clock;
    return this.#storage.write(function* () {
      const now = yield* clock.now();
      const session = yield* owned(sessionId, agentId);
      yield* lockAgent(session.agent_id);
      const [row] = yield* rows(
        `UPDATE agent_sessions SET status = 'expired', reason = 'ended', expires_at = ? WHERE id = ? AND status = 'active'
         RETURNING ${columns}`,
        Math.min(now, session.expires_at),
        sessionId,
      );
      if (!row) return (yield* find(sessionId)) ?? session;
      yield* recordEvent({ agentId: session.agent_id, sessionId, type: 'session_ended', at: now });
      return sessionOf(row);
    });
  }

  /**
   * Marks sessions whose lease has run out, with an event each.
   * @returns how many
   */
  async cleanUp(): Promise<number> {
    for (let count = 0; ; ) {
      const marked = await this.#storage.write(() => this.#expireSome());
      count += marked;
      if (marked < batch) return count;
    }
  }

  /** As it is now, whether its end is marked or not. @throws StompError NO_SESSION, DB_BUSY */
  get(sessionId: string): Promise<AgentSession> {
    const clock = this.#clock;
    return this.#storage.read(function* () {
      const now = yield* clock.now();
      return seen(yield* owned(sessionId, undefined), now);
    });
  }

  /** The agent's session that is alive, if there is one, and for how much longer it is. */
  *activeWithin(agentId: string): Work<{ session: AgentSession; leftMs: number } | undefined> {
    const now = yield* this.#clock.now();
    const [row] = yield* rows(
      `SELECT ${columns} FROM agent_sessions WHERE agent_id = ? AND status = 'active' AND expires_at > ?`,
      agentId,
      now,
    );
    if (!row) return undefined;
    const session = sessionOf(row);
    return { session, leftMs: session.expires_at - now };
  }

  /** How many are alive. */
  countActive(): Promise<number> {
    const clock = this.#clock;
    return this.#storage.read(function* () {
      const [row] = yield* rows(
        "SELECT count(*) AS count FROM agent_sessions WHERE status = 'active' AND expires_at > ?",
        yield* clock.now(),
      );
      return Number(row?.count);
    });
  }

  /** Latest first. Whose lease has run out counts as expired, marked or not. */
  list({ agentId, status, limit }: SessionFilter): Promise<AgentSession[]> {
    const clock = this.#clock;
    return this.#storage.read(function* () {
      const now = yield* clock.now();
      const conditions: string[] = [];
      const params: SqlValue[] = [];
      if (agentId !== undefined) {
        conditions.push('agent_id = ?');
        params.push(agentId);
      }
      if (status !== undefined) {
        conditions.push(`${status === 'active' ? '' : 'NOT '}(status = 'active' AND expires_at > ?)`);
        params.push(now);
      }
      const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
      const found = yield* rows(
        `SELECT ${columns} FROM agent_sessions ${where} ORDER BY started_at DESC, id LIMIT ?`,
        ...params,
        limit,
      );
      return found.map((row) => seen(sessionOf(row), now));
    });
  }

  /**
   * The session, and the time at which it is alive.
   * @param agentId whose it must be; undefined: anybody's
   * @throws StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH
   */
  *aliveWithin(sessionId: string, agentId: string | undefined): Work<{ session: AgentSession; now: number }> {
    const clock = this.#clock.expression();
    const [row] = yield* rows(
      `SELECT ${columns}, ${clock.sql} AS now FROM agent_sessions WHERE id = ?`,
      ...clock.params,
      sessionId,
    );
    const now = Number(row?.now);
    const session = seen(checkOwner(row && sessionOf(row), sessionId, agentId), now);
    if (session.status === 'expired') throw expired(session);
    return { session, now };
  }

  *#checkRate(agentId: string, now: number): Work<void> {
    const { startsPerMinute } = this.rules;
    const [row] = yield* rows(
      `SELECT count(*) AS count, min(created_at) AS first FROM agent_project_events
       WHERE agent_id = ? AND event_type = 'session_started' AND created_at > ?`,
      agentId,
      now - minuteMs,
    );
    if (Number(row?.count) < startsPerMinute) return;
    const retryMs = Math.max(1, Number(row?.first) + minuteMs - now);
    throw new StompError(
      'RATE_LIMITED',
      `${agentId} has started ${startsPerMinute} sessions within a minute, which is the limit. Keep a session alive with ` +
        `heartbeats instead; the next one can start in ${Math.ceil(retryMs / 1000)} s.`,
      { fields: { agent_id: agentId, limit: startsPerMinute, retry_after_ms: retryMs } },
    );
  }

  /** Its own one makes room for the next. */
  *#checkRoom(agentId: string, now: number): Work<void> {
    const { maxActive } = this.rules;
    if ((yield* othersActive(agentId, now)) + mostStartsAtOnce < maxActive) return;
    yield* lockStarts(this.#storage);
    if ((yield* othersActive(agentId, now)) < maxActive) return;
    throw new StompError(
      'TOO_MANY_SESSIONS',
      `${maxActive} sessions are active, which is the limit. End some, or wait for their leases to run out.`,
      { fields: { limit: maxActive } },
    );
  }

  *#expireSome(): Work<number> {
    const now = yield* this.#clock.now();
    const found = yield* rows(
      `UPDATE agent_sessions SET status = 'expired', reason = 'lease' WHERE status = 'active' AND id IN (
         SELECT id FROM agent_sessions WHERE status = 'active' AND expires_at <= ? ORDER BY id LIMIT ${batch})
         AND expires_at <= ?
       RETURNING ${columns}`,
      now,
      now,
    );
    for (const row of found) yield* recordExpiry(sessionOf(row), now);
    return found.length;
  }
}

/** Sessions and the current project of an agent change one at a time. */
export function* lockAgent(agentId: string): Work<void> {
  yield* rows(
    'INSERT INTO context_agents (agent_id) VALUES (?) ON CONFLICT (agent_id) DO UPDATE SET agent_id = excluded.agent_id',
    agentId,
  );
}

/** Where room is short, sessions start one at a time: none of two sees the other before its commit. */
function* lockStarts({ dialect }: Storage): Work<void> {
  // In SQLite there is one writer anyway.
  if (dialect === 'postgres')
    yield* rows("SELECT pg_advisory_xact_lock(hashtext('stomp-serve sessions ' || current_schema()))");
}

function* othersActive(agentId: string, now: number): Work<number> {
  const [row] = yield* rows(
    "SELECT count(*) AS count FROM agent_sessions WHERE status = 'active' AND expires_at > ? AND agent_id <> ?",
    now,
    agentId,
  );
  return Number(row?.count);
}

function* supersede(agentId: string, sessionId: string, now: number): Work<void> {
  const found = yield* rows(
    `UPDATE agent_sessions SET status = 'expired', reason = CASE WHEN expires_at > ? THEN 'superseded' ELSE 'lease' END
     WHERE agent_id = ? AND status = 'active' AND id <> ? RETURNING ${columns}`,
    now,
    agentId,
    sessionId,
  );
  for (const row of found) yield* recordExpiry(sessionOf(row), now, sessionId);
}

function recordExpiry({ agent_id, session_id, reason }: AgentSession, at: number, by?: string): Work<void> {
  const metadata = reason === 'superseded' && by !== undefined ? { reason, by } : { reason };
  return recordEvent({ agentId: agent_id, sessionId: session_id, type: 'session_expired', metadata, at });
}

function* find(sessionId: string): Work<AgentSession | undefined> {
  const [row] = yield* rows(`SELECT ${columns} FROM agent_sessions WHERE id = ?`, sessionId);
  return row && sessionOf(row);
}

function* owned(sessionId: string, agentId: string | undefined): Work<AgentSession> {
  return checkOwner(yield* find(sessionId), sessionId, agentId);
}

function checkOwner(
  session: AgentSession | undefined,
  sessionId: string,
  agentId: string | undefined,
): AgentSession {
  if (!session) throw noSession(agentId, sessionId);
  if (agentId !== undefined && session.agent_id !== agentId) throw mismatch(session, agentId);
  return session;
}

/** As it is at that time, whether anybody has marked it or not. */
function seen(session: AgentSession, now: number): AgentSession {
  const over = session.status === 'active' && session.expires_at <= now;
  return over ? { ...session, status: 'expired', reason: 'lease' } : session;
}

function sessionOf(row: Row): AgentSession {
  return {
    session_id: String(row.id),
    agent_id: String(row.agent_id),
    status: row.status as AgentSession['status'],
    started_at: Number(row.started_at),
    last_active_at: Number(row.last_active_at),
    expires_at: Number(row.expires_at),
    reason: textOf(row.reason) as AgentSession['reason'],
    metadata: JSON.parse(String(row.metadata)) as Meta,
  };
}

/** @param sessionId undefined: none was named */
export function noSession(agentId: string | undefined, sessionId?: string): StompError {
  const what =
    sessionId === undefined ? `No session of ${agentId} was named.` : `There is no session ${sessionId}.`;
  return new StompError('NO_SESSION', `${what} Start one and pass its id.`, {
    fields: { field: 'session_id', agent_id: agentId ?? null, session_id: sessionId ?? null },
  });
}

function mismatch({ session_id, agent_id }: AgentSession, agentId: string): StompError {
  return new StompError(
    'SESSION_MISMATCH',
    `Session ${session_id} is not one of ${agentId}. Start one for ${agentId}, or say who you are.`,
    { fields: { field: 'session_id', agent_id: agentId, session_id, session_agent_id: agent_id } },
  );
}

const whyExpired = {
  lease: 'Its lease ran out',
  superseded: 'The agent has started another one',
  ended: 'It was ended',
} as const;

function expired({ session_id, agent_id, reason, expires_at }: AgentSession): StompError {
  const why = whyExpired[reason ?? 'lease'];
  return new StompError(
    'SESSION_EXPIRED',
    `Session ${session_id} of ${agent_id} is over: ${why}. Start a new one.`,
    { fields: { field: 'session_id', agent_id, session_id, reason, expires_at } },
  );
}
