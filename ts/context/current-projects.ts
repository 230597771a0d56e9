/** What each agent works on: a pointer with a version that says whether somebody else has moved it. */
import { randomUUID } from 'node:crypto';
import { StompError } from '../errors.js';
import { type Row, rows, type Storage, type Work } from '../storage/storage.js';
import { conflictError, projectNotFound } from './errors.js';
import { numberOf, recordEvent, textOf } from './events.js';
import type { Sessions } from './sessions.js';
import type { ContextEventType, CurrentProject } from './types.js';

export interface ProjectChange {
  readonly agentId: string;
  readonly project: string | null;
  readonly sessionId: string;
  readonly expectedVersion: number | undefined;
  readonly updatedBy: string;
}

const columns = 'agent_id, project_name, version, updated_at, updated_by, session_id, change_id';
/** What databases call it when a row names a project that is not there. */
const noSuchProject = ['SQLITE_CONSTRAINT_FOREIGNKEY', '23503'];

export class CurrentProjects {
  readonly #storage: Storage;
  readonly #sessions: Sessions;

  constructor(storage: Storage, sessions: Sessions) {
    this.#storage = storage;
    this.#sessions = sessions;
  }

  /**
   * Compares the version and sets the project, both or nothing.
   * @throws StompError VERSION_CONFLICT, NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, PROJECT_NOT_FOUND, DB_BUSY
   */
  async set(change: ProjectChange): Promise<CurrentProject> {
    const changeId = randomUUID();
    const outcome = await this.#storage
      .write(() => this.#setWithin(change, changeId))
      .catch((error: unknown) => {
        throw isNoSuchProject(error) ? projectNotFound(change.project ?? '') : error;
      });
    if (!outcome.conflict) return outcome.current;
    throw conflictError(change.expectedVersion ?? 0, outcome.current);
  }

  get(agentId: string): Promise<CurrentProject> {
    return this.#storage.read(() => currentWithin(agentId));
  }

  /** Latest first. */
  list(limit: number): Promise<CurrentProject[]> {
    return this.#storage.read(function* () {
      const found = yield* rows(
        `SELECT ${columns} FROM agent_projects ORDER BY updated_at DESC, agent_id LIMIT ?`,
        limit,
      );
      return found.map(currentOf);
    });
  }

  /** A conflict is an outcome here: its event stays when the change does not. */
  *#setWithin(change: ProjectChange, changeId: string): Work<{ current: CurrentProject; conflict: boolean }> {
    const { agentId, project, sessionId, expectedVersion } = change;
    const row = yield* this.#locked(agentId);
    const before = row ? currentOf(row) : nothingYet(agentId);
    // This very change was made, and its commit not heard of.
    if (row?.change_id === changeId) return { current: before, conflict: false };
    const { now } = yield* this.#sessions.aliveWithin(sessionId, agentId);
    if (expectedVersion !== undefined && expectedVersion !== before.version) {
      yield* this.#recordConflict(change, before, now);
      return { current: before, conflict: true };
    }
    const after = yield* compareAndSet(change, before.version, changeId, now);
    // Another process has made the agent's first choice since: now there is a row to lock.
    if (!after) return yield* this.#setWithin(change, changeId);
    yield* recordEvent({
      agentId,
      sessionId,
      type: eventOf(before.project, project),
      from: before.project,
      to: project,
      expected: expectedVersion,
      actual: after.version,
      metadata: { updated_by: change.updatedBy },
      at: now,
    });
    return { current: after, conflict: false };
  }

  *#locked(agentId: string): Work<Row | undefined> {
    const lock = this.#storage.dialect === 'postgres' ? ' FOR UPDATE' : '';
    const [row] = yield* rows(`SELECT ${columns} FROM agent_projects WHERE agent_id = ?${lock}`, agentId);
    return row;
  }

  *#recordConflict(change: ProjectChange, before: CurrentProject, at: number): Work<void> {
    yield* recordEvent({
      agentId: change.agentId,
      sessionId: change.sessionId,
      type: 'conflict_detected',
      from: before.project,
      to: change.project,
      expected: change.expectedVersion,
      actual: before.version,
      failure: 'VERSION_CONFLICT',
      metadata: { updated_by: change.updatedBy },
      at,
    });
  }
}

export function* currentWithin(agentId: string): Work<CurrentProject> {
  const [row] = yield* rows(`SELECT ${columns} FROM agent_projects WHERE agent_id = ?`, agentId);
  return row ? currentOf(row) : nothingYet(agentId);
}

function* compareAndSet(
  { agentId, project, sessionId, updatedBy }: ProjectChange,
  version: number,
  changeId: string,
  now: number,
): Work<CurrentProject | undefined> {
  const [row] = yield* rows(
    `INSERT INTO agent_projects (${columns}) VALUES (?, ?, 1, ?, ?, ?, ?)
     ON CONFLICT (agent_id) DO UPDATE SET project_name = excluded.project_name, version = agent_projects.version + 1,
       updated_at = excluded.updated_at, updated_by = excluded.updated_by, session_id = excluded.session_id,
       change_id = excluded.change_id
     WHERE agent_projects.version = ?
     RETURNING ${columns}`,
    agentId,
    project,
    now,
    updatedBy,
    sessionId,
    changeId,
    version,
  );
  return row && currentOf(row);
}

function isNoSuchProject(error: unknown): boolean {
  if (!(error instanceof StompError)) return false;
  const { last_sqlite_error: sqlite, sql_state: postgres } = error.fields;
  return noSuchProject.includes(String(sqlite ?? postgres));
}

function eventOf(from: string | null, to: string | null): ContextEventType {
  if (to === null) return 'project_cleared';
  return from === null || from === to ? 'project_set' : 'project_switched';
}

function nothingYet(agentId: string): CurrentProject {
  return {
    agent_id: agentId,
    project: null,
    version: 0,
    updated_at: null,
    updated_by: null,
    session_id: null,
  };
}

function currentOf(row: Row): CurrentProject {
  return {
    agent_id: String(row.agent_id),
    project: textOf(row.project_name),
    version: Number(row.version),
    updated_at: numberOf(row.updated_at),
    updated_by: textOf(row.updated_by),
    session_id: textOf(row.session_id),
  };
}
