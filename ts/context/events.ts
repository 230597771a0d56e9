/** What has happened to sessions and current projects, kept for whoever wants to know why. */
import { type Row, rows, type SqlValue, type Work } from '../storage/storage.js';
import type { Meta } from './entry.js';
import type { ContextEvent, ContextEventType } from './types.js';

/** What is known of an event where it happens; what is left out is null. */
export interface NewEvent {
  readonly agentId: string;
  readonly sessionId: string | null;
  readonly type: ContextEventType;
  readonly from?: string | null;
  readonly to?: string | null;
  readonly expected?: number | undefined;
  readonly actual?: number;
  /** Why it was refused. */
  readonly failure?: string;
  readonly metadata?: Meta;
  readonly at: number;
}

export interface EventFilter {
  readonly agentId: string | undefined;
  readonly type: ContextEventType | undefined;
  /** Only those with a smaller id. */
  readonly before: number | undefined;
  readonly limit: number;
}

export function* recordEvent(event: NewEvent): Work<void> {
  yield* rows(
    `INSERT INTO agent_project_events (agent_id, session_id, event_type, from_project, to_project, expected_version,
       actual_version, success, error_message, metadata, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    event.agentId,
    event.sessionId,
    event.type,
    event.from ?? null,
    event.to ?? null,
    event.expected ?? null,
    event.actual ?? null,
    event.failure === undefined ? 1 : 0,
    event.failure ?? null,
    JSON.stringify(event.metadata ?? {}),
    event.at,
  );
}

/** Newest first. */
export function* listEvents({ agentId, type, before, limit }: EventFilter): Work<ContextEvent[]> {
  const conditions: string[] = [];
  const params: SqlValue[] = [];
  const where = (condition: string, value: SqlValue | undefined) => {
    if (value === undefined) return;
    conditions.push(condition);
    params.push(value);
  };
  where('agent_id = ?', agentId);
  where('event_type = ?', type);
  where('id < ?', before);
  const found = yield* rows(
    `SELECT * FROM agent_project_events ${conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''}
     ORDER BY id DESC LIMIT ?`,
    ...params,
    limit,
  );
  return found.map(eventOf);
}

function eventOf(row: Row): ContextEvent {
  return {
    id: Number(row.id),
    agent_id: String(row.agent_id),
    session_id: textOf(row.session_id),
    event_type: row.event_type as ContextEventType,
    from_project: textOf(row.from_project),
    to_project: textOf(row.to_project),
    expected_version: numberOf(row.expected_version),
    actual_version: numberOf(row.actual_version),
    success: Number(row.success) === 1,
    error_message: textOf(row.error_message),
    metadata: JSON.parse(String(row.metadata)) as Meta,
    created_at: Number(row.created_at),
  };
}

/** A column that may be null, as text. */
export function textOf(value: SqlValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}

/** A column that may be null, as a number. */
export function numberOf(value: SqlValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}
