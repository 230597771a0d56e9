/** Agents, their sessions, what each works on, and what they write down about it. */
import { checkBoolean, checkChoice, checkFields, checkInteger, checkText, refuse } from '../arguments.js';
import { checkAgentId } from '../engine/agent-id.js';
import { StompError, toStompError } from '../errors.js';
import type { Maasl } from '../guard/index.js';
import { type AgentContextOptions, type ContextParts, openParts } from './context-parts.js';
import { currentWithin } from './current-projects.js';
import { databaseChecks } from './database-checks.js';
import { type DoctorOptions, type DoctorReport, runChecks } from './doctor.js';
import { ConflictError } from './errors.js';
import { listEvents } from './events.js';
import { ContextFigures } from './figures.js';
import { implicitSession } from './implicit-session.js';
import type { AuditReport } from './log-audit.js';
import { progressLogCheck } from './log-repair.js';
import type { AppendOptions, QueryOptions, RecentOptions } from './log-types.js';
import { checkMeta, checkStorable } from './meta.js';
import type { StateDrift } from './mirror.js';
import { type EntryInput, entryInputFields, type NewEntry, newEntries } from './new-entry.js';
import type { AppendResult } from './progress-log.js';
import { changedProject, checkLog, checkProjectName, newProject } from './project-input.js';
import { projectWithin } from './projects.js';
import { queryFields, recentFields } from './query-arguments.js';
import { entryIndexCheck } from './query-check.js';
import type { EntryPage } from './query-types.js';
import { type RetryOptions, withRetry } from './retry.js';
import { contextMigrations } from './schema.js';
import { noSession } from './sessions.js';
import {
  type AgentSession,
  type ContextEvent,
  type CurrentProject,
  contextEventTypes,
  defaultAgent,
  type EventOptions,
  type Project,
  type ProjectChanges,
  type ProjectOptions,
  type SessionListOptions,
  type SetProjectOptions,
  type StartOptions,
} from './types.js';

const appendFields = [
  'project',
  'agentId',
  'sessionId',
  'signal',
  ...entryInputFields.filter((field) => field !== 'message'),
];

/** Sessions, current projects and progress logs of agents, for every process that opens the same database. */
export class AgentContextManager {
  readonly maasl: Maasl;
  /** Counts of this process. */
  readonly figures = new ContextFigures();
  readonly #parts: ContextParts;
  #cleaning: NodeJS.Timeout | undefined;

  private constructor(parts: ContextParts) {
    this.#parts = parts;
    this.maasl = parts.maasl;
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONFIG_INVALID, DB_BUSY */
  static async open(options: AgentContextOptions): Promise<AgentContextManager> {
    const parts = await openParts(options);
    const manager = new AgentContextManager(parts);
    if (parts.cleanUpMs > 0) manager.#cleanEvery(parts.cleanUpMs);
    return manager;
  }

  /**
   * Begins a sitting of the agent; the one before it is over.
   * @throws StompError RATE_LIMITED, TOO_MANY_SESSIONS, SESSION_MISMATCH, INVALID_REQUEST, DB_BUSY
   */
  async startSession(agentId: string, options: StartOptions = {}): Promise<AgentSession> {
    checkFields('options', options, ['sessionId', 'metadata']);
    checkAgentId(agentId, 'agentId');
    const { sessionId } = options;
    if (sessionId !== undefined) checkAgentId(sessionId, 'sessionId');
    const metadata = checkMeta('metadata', options.metadata);
    const session = await this.#parts.sessions.start(agentId, sessionId, metadata);
    this.figures.count('sessions_started');
    return session;
  }

  /**
   * Lets a session live on for its time from now. One that is over stays over.
   * @param agentId whose it must be; left out: anybody's
   * @throws StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, DB_BUSY
   */
  async heartbeat(sessionId: string, agentId?: string): Promise<AgentSession> {
    return this.#parts.sessions.heartbeat(checkSession(sessionId), optionalAgent(agentId));
  }

  /**
   * Ends a session; one that is over is left as it is.
   * @throws StompError NO_SESSION, SESSION_MISMATCH, DB_BUSY
   */
  async endSession(sessionId: string, agentId?: string): Promise<AgentSession> {
    const session = await this.#parts.sessions.end(checkSession(sessionId), optionalAgent(agentId));
    this.figures.count('sessions_ended');
    return session;
  }

  /** @throws StompError NO_SESSION, DB_BUSY */
  async getSession(sessionId: string): Promise<AgentSession> {
    return this.#parts.sessions.get(checkSession(sessionId));
  }

  /** Latest first. */
  async listSessions(options: SessionListOptions = {}): Promise<AgentSession[]> {
    checkFields('options', options, ['agentId', 'status', 'limit']);
    const { status } = options;
    if (status !== undefined && status !== 'active' && status !== 'expired')
      refuse('status', status, 'one of active, expired');
    const limit = checkInteger('limit', options.limit, 100, { min: 1, max: 10_000 });
    return this.#parts.sessions.list({ agentId: optionalAgent(options.agentId), status, limit });
  }

  /** How many sessions are alive, of all agents. */
  countActiveSessions(): Promise<number> {
    return this.#parts.sessions.countActive();
  }

  /**
   * Marks the sessions whose lease has run out. It runs by itself, too.
   * @returns how many
   */
  async cleanupExpired(): Promise<number> {
    const count = await this.#parts.sessions.cleanUp();
    this.figures.count('sessions_expired', count);
    return count;
  }

  /**
   * A session for a caller who names none: the agent's, if nobody has started one that he could name.
   * @throws StompError NO_SESSION, RATE_LIMITED, TOO_MANY_SESSIONS, DB_BUSY
   */
  async implicitSession(agentId: string = defaultAgent): Promise<string> {
    checkAgentId(agentId, 'agentId');
    const { storage, sessions } = this.#parts;
    const { sessionId, started } = await implicitSession(storage, sessions, agentId);
    if (started) this.figures.count('sessions_started');
    return sessionId;
  }

  /**
   * Sets what the agent works on, if its session is alive and the version is the expected one.
   * @param project null: nothing
   * @throws ConflictError; StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, PROJECT_NOT_FOUND, INVALID_REQUEST,
   *   DB_BUSY
   */
  async setCurrentProject(
    agentId: string,
    project: string | null,
    // Who leaves it out is told what is missing.
    options: SetProjectOptions = {} as SetProjectOptions,
  ): Promise<CurrentProject> {
    checkAgentId(agentId, 'agentId');
    checkFields('options', options, ['sessionId', 'expectedVersion', 'updatedBy']);
    if (project !== null) checkProjectName(project);
    if (options.sessionId === undefined) throw noSession(agentId);
    const { expectedVersion } = options;
    if (expectedVersion !== undefined)
      checkInteger('expectedVersion', expectedVersion, 0, { min: 0, max: Number.MAX_SAFE_INTEGER });
    const updatedBy = checkStorable('updatedBy', checkText('updatedBy', options.updatedBy, agentId, 128));
    const change = {
      agentId,
      project,
      sessionId: checkSession(options.sessionId),
      expectedVersion,
      updatedBy,
    };
    return this.figures.timed('switch', async () => {
      const current = await this.#parts.current.set(change).catch((error: unknown) => {
        if (error instanceof ConflictError) this.figures.count('conflicts');
        throw error;
      });
      this.figures.count('projects_set');
      await this.#parts.mirror?.changed();
      return current;
    });
  }

  /** What the agent works on; version 0 for one that has never set it. */
  async getCurrentProject(agentId: string): Promise<CurrentProject> {
    return this.#parts.current.get(checkAgentId(agentId, 'agentId'));
  }

  /** Of all agents, latest first. */
  listCurrentProjects(): Promise<CurrentProject[]> {
    return this.#parts.current.list(10_000);
  }

  /**
   * Loads what is current and changes it; upon a conflict does so again after a pause.
   * @throws ConflictError after the last attempt; whatever else `change` throws
   */
  withRetry<T>(
    agentId: string,
    change: (current: CurrentProject) => Promise<T>,
    options: RetryOptions = {},
  ): Promise<T> {
    return withRetry(() => this.getCurrentProject(agentId), change, options, this.figures);
  }

  /** @throws StompError PROJECT_EXISTS, PATH_DENIED, INVALID_REQUEST, PAYLOAD_TOO_LARGE, DB_BUSY */
  async createProject(options: ProjectOptions): Promise<Project> {
    const { projects, roots, ownFiles } = this.#parts;
    return projects.create(checkLog(await newProject(options, roots), ownFiles));
  }

  /** @throws StompError PROJECT_NOT_FOUND, DB_BUSY */
  async getProject(name: string): Promise<Project> {
    return this.#parts.projects.get(checkProjectName(name, 'name'));
  }

  /** By name. */
  listProjects(): Promise<Project[]> {
    return this.#parts.projects.list();
  }

  /** @throws StompError PROJECT_NOT_FOUND, PROJECT_EXISTS, PATH_DENIED, INVALID_REQUEST, PAYLOAD_TOO_LARGE, DB_BUSY */
  async updateProject(name: string, changes: ProjectChanges): Promise<Project> {
    const { projects, roots, ownFiles } = this.#parts;
    return projects.update(checkProjectName(name, 'name'), async (before) =>
      checkLog(await changedProject(before, changes, roots), ownFiles),
    );
  }

  /**
   * Agents that work on it then work on nothing, at the version they had. Its entries and its log stay, and go on
   * should the project be created again.
   * @param options `purge`: the entries and the files of the log are removed first
   * @throws StompError PROJECT_NOT_FOUND, LOG_UNWRITABLE, RESOURCE_BUSY, DB_BUSY
   */
  async deleteProject(name: string, options: { readonly purge?: boolean } = {}): Promise<Project> {
    checkFields('options', options, ['purge']);
    const project = await this.getProject(name);
    const remove = () => this.#parts.projects.delete(project.name);
    const purge = checkBoolean('purge', options.purge, false);
    const deleted = await (purge ? this.#parts.log.purge(project, remove) : remove());
    await this.#parts.mirror?.changed();
    return deleted;
  }

  /**
   * Writes into the log of a project: one message, or a list of messages and entries, all of them or none. The
   * database has them when this resolves, and so has the file unless `log` says why not.
   * @throws StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, PROJECT_NOT_FOUND, ENTRY_EXISTS, INVALID_REQUEST,
   *   UNSUPPORTED_FIELD, PAYLOAD_TOO_LARGE, RESOURCE_BUSY, CANCELLED, DB_BUSY, SHUTTING_DOWN
   */
  async appendEntry(
    message: string | readonly (EntryInput | string)[],
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    checkFields('options', options, appendFields);
    const { project, agentId, sessionId, signal, ...rest } = options;
    const items = this.#itemsOf(message, rest);
    return this.figures.timed('append', async () => {
      const { alive, ...who } = await this.#writer(agentId, sessionId);
      const into = await this.#projectOf(project, who.agentId);
      const result = await this.#parts.log.append(into, items, {
        ...who,
        ...(signal === undefined ? {} : { signal }),
        // Session and project may be gone by the time it is this call's turn.
        *within() {
          yield* alive();
          yield* projectWithin(into.name);
        },
      });
      this.figures.count('entries_appended', result.entries.length - result.duplicates.length);
      return result;
    });
  }

  /**
   * The newest entries of a project.
   * @throws StompError PROJECT_NOT_FOUND, INVALID_REQUEST, UNSUPPORTED_FIELD, CANCELLED, DB_BUSY
   */
  async readRecent(options: RecentOptions = {}): Promise<EntryPage> {
    checkFields('options', options, [...recentFields, 'agentId']);
    const { agentId, project, ...rest } = options;
    const { name } = await this.#projectOf(project, optionalAgent(agentId) ?? defaultAgent);
    return this.figures.timed('query', () => this.#parts.queries.recent({ ...rest, project: name }));
  }

  /**
   * The entries that meet all conditions, the newest first unless `order` says otherwise.
   * @throws StompError PROJECT_NOT_FOUND, INVALID_REQUEST, UNSUPPORTED_FIELD, CANCELLED, DB_BUSY
   */
  async queryEntries(options: QueryOptions = {}): Promise<EntryPage> {
    checkFields('options', options, [...queryFields, 'agentId']);
    const { agentId, project, ...rest } = options;
    const everywhere = rest.scope === 'all' && project === undefined;
    const where = everywhere
      ? {}
      : { project: (await this.#projectOf(project, optionalAgent(agentId) ?? defaultAgent)).name };
    return this.figures.timed('query', () => this.#parts.queries.query({ ...rest, ...where }));
  }

  /**
   * Compares the lines of the files with the rows, one by one; changes nothing.
   * @param name of one project; left out: all of them
   * @throws StompError PROJECT_NOT_FOUND, LOG_UNWRITABLE, RESOURCE_BUSY, DB_BUSY
   */
  async audit(name?: string): Promise<AuditReport[]> {
    const projects = name === undefined ? await this.listProjects() : [await this.getProject(name)];
    const reports: AuditReport[] = [];
    for (const project of projects) reports.push(await this.#parts.log.audit(project));
    return reports;
  }

  /**
   * Where the state file differs from the database.
   * @throws StompError CONFIG_INVALID without a state file, INTERNAL_ERROR, DB_BUSY
   */
  async verify(): Promise<StateDrift[]> {
    const { mirror } = this.#parts;
    if (mirror) return mirror.verify();
    throw new StompError('CONFIG_INVALID', 'There is no state file to be compared: name one.', {
      fields: { setting: 'stateFile' },
    });
  }

  /**
   * Looks for damage in the database, the logs and the state file, and mends it if it is told to.
   * @throws StompError CANCELLED, INVALID_REQUEST, UNSUPPORTED_FIELD
   */
  doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
    const { storage, clock, mirror, log, projects } = this.#parts;
    const checks = [
      ...databaseChecks({ storage, migrations: contextMigrations, clock, ...(mirror ? { mirror } : {}) }),
      entryIndexCheck(storage),
      progressLogCheck(log, () => projects.list()),
    ];
    return runChecks(checks, options);
  }

  /** Notes that an agent has used a tool, for the state file. */
  toolUsed(name: string, agentId: string): void {
    this.#parts.mirror?.toolUsed(name, agentId);
  }

  /** What has happened to sessions and current projects, newest first. */
  async listEvents(options: EventOptions = {}): Promise<ContextEvent[]> {
    checkFields('options', options, ['agentId', 'type', 'before', 'limit']);
    const limit = checkInteger('limit', options.limit, 100, { min: 1, max: 1000 });
    const { type, before } = options;
    const max = Number.MAX_SAFE_INTEGER;
    const filter = {
      agentId: optionalAgent(options.agentId),
      type: type === undefined ? type : checkChoice('type', type, type, contextEventTypes),
      before: before === undefined ? before : checkInteger('before', before, 0, { min: 0, max }),
      limit,
    };
    return this.#parts.storage.read(() => listEvents(filter));
  }

  /** Waits for what is being written, and closes the guard, if it was opened here. Sessions live on. */
  async close(): Promise<void> {
    clearInterval(this.#cleaning);
    this.#cleaning = undefined;
    const { log, mirror, ownsMaasl, maasl } = this.#parts;
    await log.close();
    await mirror?.close();
    if (ownsMaasl) await maasl.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #itemsOf(
    message: string | readonly (EntryInput | string)[],
    rest: Omit<EntryInput, 'message'>,
  ): NewEntry[] {
    const list = typeof message === 'string' ? [message] : message;
    if (!Array.isArray(list)) refuse('message', message, 'a text or a list of entries');
    const { id } = rest;
    if (id !== undefined && list.length > 1) refuse('id', id, 'in each entry of a list');
    return newEntries(
      list.map((item) => (typeof item === 'string' ? { ...rest, message: item } : { ...rest, ...item })),
      Math.floor(this.#parts.now()),
    );
  }

  /** Who writes, and what makes sure that the session is alive. */
  async #writer(agentId: string | undefined, sessionId: string | undefined) {
    const { sessions } = this.#parts;
    const named = optionalAgent(agentId);
    if (named !== undefined && sessionId === undefined) throw noSession(named);
    const session = sessionId === undefined ? await this.implicitSession() : checkSession(sessionId);
    const agent =
      named ?? (sessionId === undefined ? defaultAgent : (await this.getSession(session)).agent_id);
    return {
      agentId: agent,
      sessionId: session,
      alive: () => sessions.aliveWithin(session, agent),
    };
  }

  /** The project that is named, or what the agent works on. */
  async #projectOf(name: string | undefined, agentId: string): Promise<Project> {
    if (name !== undefined) checkProjectName(name);
    return this.#parts.storage.read(function* () {
      const chosen = name ?? (yield* currentWithin(agentId)).project;
      if (chosen !== null) return yield* projectWithin(chosen);
      throw new StompError(
        'PROJECT_NOT_FOUND',
        `${agentId} works on no project now. Set one, or name the project that is meant.`,
        { fields: { field: 'project', agent_id: agentId } },
      );
    });
  }

  #cleanEvery(ms: number): void {
    const clean = () =>
      this.cleanupExpired().catch((error: unknown) => this.#parts.onProblem(toStompError(error)));
    this.#cleaning = setInterval(clean, ms).unref();
  }
}

/** Ids of sessions follow the rule of agents. */
function checkSession(sessionId: unknown): string {
  return checkAgentId(sessionId, 'sessionId');
}

function optionalAgent(agentId: string | undefined): string | undefined {
  return agentId === undefined ? undefined : checkAgentId(agentId, 'agentId');
}
