/** Agents, their sessions, what each works on, and what they write down about it. */
import { checkFields, checkInteger, checkObserver, checkText, refuse } from '../arguments.js';
import { checkAgentId } from '../engine/agent-id.js';
import { type StompError, toStompError } from '../errors.js';
import { Maasl } from '../guard/index.js';
import { canonicalPath } from '../paths.js';
import type { Storage } from '../storage/storage.js';
import { type ContextClock, contextClock } from './clock.js';
import { CurrentProjects } from './current-projects.js';
import { ConflictError } from './errors.js';
import { listEvents } from './events.js';
import { ContextFigures } from './figures.js';
import { implicitSession } from './implicit-session.js';
import { checkMeta } from './meta.js';
import { changedProject, checkProjectName, newProject } from './project-input.js';
import { Projects } from './projects.js';
import { type RetryOptions, withRetry } from './retry.js';
import { contextMigrations } from './schema.js';
import { noSession, Sessions } from './sessions.js';
import type {
  AgentSession,
  ContextEvent,
  CurrentProject,
  EventOptions,
  Project,
  ProjectChanges,
  ProjectOptions,
  SessionListOptions,
  SetProjectOptions,
  StartOptions,
} from './types.js';

/** Where the context is kept, and by which rules. */
export interface AgentContextOptions {
  /** A guard with a database, which the caller closes. Its locks guard the log files. */
  readonly maasl?: Maasl;
  /** Instead: a file for SQLite, or `postgres://…`, for a guard of its own. */
  readonly database?: string;
  /** Folders that projects must lie in; none: anywhere. */
  readonly roots?: readonly string[];
  /** How long a session lives unless it is renewed. @default 900000 */
  readonly sessionTtlMs?: number;
  /** Of all agents together. @default 10000 */
  readonly maxActiveSessions?: number;
  /** Of one agent. @default 600 */
  readonly sessionStartsPerMinute?: number;
  /** How often to look for sessions whose lease has run out; 0: never. @default 60000 */
  readonly cleanUpMs?: number;
  /** Replaces the clock of sessions and entries: milliseconds since 1970. */
  readonly now?: () => number;
  /** Is told of what goes wrong beside the calls, and harms none of them. */
  readonly onProblem?: (problem: StompError) => void;
}

const optionFields = [
  'maasl',
  'database',
  'roots',
  'sessionTtlMs',
  'maxActiveSessions',
  'sessionStartsPerMinute',
  'cleanUpMs',
  'now',
  'onProblem',
];

const day = 24 * 3600 * 1000;

/** The agent that a call is made for when it names none. */
export const defaultAgent = 'Scribe';

/** Sessions, current projects and progress logs of agents, for every process that opens the same database. */
export class AgentContextManager {
  readonly maasl: Maasl;
  /** Counts of this process. */
  readonly figures = new ContextFigures();
  readonly #ownsMaasl: boolean;
  readonly #storage: Storage;
  readonly #roots: readonly string[];
  readonly #sessions: Sessions;
  readonly #current: CurrentProjects;
  readonly #projects: Projects;
  readonly #onProblem: (problem: StompError) => void;
  #cleaning: NodeJS.Timeout | undefined;

  private constructor(parts: {
    maasl: Maasl;
    ownsMaasl: boolean;
    storage: Storage;
    roots: readonly string[];
    clock: ContextClock;
    sessions: Sessions;
    onProblem: (problem: StompError) => void;
  }) {
    const { maasl, storage, clock, sessions } = parts;
    this.maasl = maasl;
    this.#ownsMaasl = parts.ownsMaasl;
    this.#storage = storage;
    this.#roots = parts.roots;
    this.#sessions = sessions;
    this.#current = new CurrentProjects(storage, sessions);
    this.#projects = new Projects(storage, clock);
    this.#onProblem = parts.onProblem;
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONFIG_INVALID, DB_BUSY */
  static async open(options: AgentContextOptions): Promise<AgentContextManager> {
    checkFields('options', options, optionFields);
    const rules = {
      ttlMs: checkInteger('sessionTtlMs', options.sessionTtlMs, 900_000, { min: 1, max: 365 * day }),
      maxActive: checkInteger('maxActiveSessions', options.maxActiveSessions, 10_000, { min: 1, max: 1e9 }),
      startsPerMinute: checkInteger('sessionStartsPerMinute', options.sessionStartsPerMinute, 600, {
        min: 1,
        max: 1e9,
      }),
    };
    const cleanUpMs = checkInteger('cleanUpMs', options.cleanUpMs, 60_000, { min: 0, max: day });
    const onProblem = checkObserver('onProblem', options.onProblem) ?? (() => undefined);
    const roots = await Promise.all((options.roots ?? []).map(canonicalPath));
    const { maasl, ownsMaasl } = await openMaasl(options);
    try {
      const { storage } = maasl;
      if (!storage) refuse('maasl', maasl, 'a guard with a database');
      await storage.migrate(contextMigrations);
      const clock = contextClock(storage, options.now);
      const sessions = new Sessions(storage, clock, rules);
      const manager = new AgentContextManager({
        maasl,
        ownsMaasl,
        storage,
        roots,
        clock,
        sessions,
        onProblem,
      });
      if (cleanUpMs > 0) manager.#cleanEvery(cleanUpMs);
      return manager;
    } catch (error) {
      if (ownsMaasl) await maasl.close();
      throw error;
    }
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
    const session = await this.#sessions.start(agentId, sessionId, metadata);
    this.figures.count('sessions_started');
    return session;
  }

  /**
   * Lets a session live on for its time from now. One that is over stays over.
   * @param agentId whose it must be; left out: anybody's
   * @throws StompError NO_SESSION, SESSION_EXPIRED, SESSION_MISMATCH, DB_BUSY
   */
  async heartbeat(sessionId: string, agentId?: string): Promise<AgentSession> {
    return this.#sessions.heartbeat(checkSession(sessionId), optionalAgent(agentId));
  }

  /**
   * Ends a session; one that is over is left as it is.
   * @throws StompError NO_SESSION, SESSION_MISMATCH, DB_BUSY
   */
  async endSession(sessionId: string, agentId?: string): Promise<AgentSession> {
    const session = await this.#sessions.end(checkSession(sessionId), optionalAgent(agentId));
    this.figures.count('sessions_ended');
    return session;
  }

  /** @throws StompError NO_SESSION, DB_BUSY */
  async getSession(sessionId: string): Promise<AgentSession> {
    return this.#sessions.get(checkSession(sessionId));
  }

  /** Latest first. */
  async listSessions(options: SessionListOptions = {}): Promise<AgentSession[]> {
    checkFields('options', options, ['agentId', 'status', 'limit']);
    const { status } = options;
    if (status !== undefined && status !== 'active' && status !== 'expired')
      refuse('status', status, 'one of active, expired');
    const limit = checkInteger('limit', options.limit, 100, { min: 1, max: 10_000 });
    return this.#sessions.list({ agentId: optionalAgent(options.agentId), status, limit });
  }

  /**
   * Marks the sessions whose lease has run out. It runs by itself, too.
   * @returns how many
   */
  async cleanupExpired(): Promise<number> {
    const count = await this.#sessions.cleanUp();
    this.figures.count('sessions_expired', count);
    return count;
  }

  /**
   * A session for a caller who names none: the agent's, if nobody has started one that he could name.
   * @throws StompError NO_SESSION, RATE_LIMITED, TOO_MANY_SESSIONS, DB_BUSY
   */
  async implicitSession(agentId: string = defaultAgent): Promise<string> {
    return implicitSession(this.#storage, this.#sessions, checkAgentId(agentId, 'agentId'));
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
    options: SetProjectOptions,
  ): Promise<CurrentProject> {
    checkFields('options', options, ['sessionId', 'expectedVersion', 'updatedBy']);
    checkAgentId(agentId, 'agentId');
    if (project !== null) checkProjectName(project);
    if (options.sessionId === undefined) throw noSession(agentId);
    const { expectedVersion } = options;
    if (expectedVersion !== undefined)
      checkInteger('expectedVersion', expectedVersion, 0, { min: 0, max: Number.MAX_SAFE_INTEGER });
    const updatedBy = checkText('updatedBy', options.updatedBy, agentId, 128);
    const change = {
      agentId,
      project,
      sessionId: checkSession(options.sessionId),
      expectedVersion,
      updatedBy,
    };
    return this.figures.timed('switch', async () => {
      const current = await this.#current.set(change).catch((error: unknown) => {
        if (error instanceof ConflictError) this.figures.count('conflicts');
        throw error;
      });
      this.figures.count('projects_set');
      return current;
    });
  }

  /** What the agent works on; version 0 for one that has never set it. */
  async getCurrentProject(agentId: string): Promise<CurrentProject> {
    return this.#current.get(checkAgentId(agentId, 'agentId'));
  }

  /** Of all agents, latest first. */
  listCurrentProjects(): Promise<CurrentProject[]> {
    return this.#current.list(10_000);
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
    return this.#projects.create(await newProject(options, this.#roots));
  }

  /** @throws StompError PROJECT_NOT_FOUND, DB_BUSY */
  async getProject(name: string): Promise<Project> {
    return this.#projects.get(checkProjectName(name, 'name'));
  }

  /** By name. */
  listProjects(): Promise<Project[]> {
    return this.#projects.list();
  }

  /** @throws StompError PROJECT_NOT_FOUND, PROJECT_EXISTS, PATH_DENIED, INVALID_REQUEST, PAYLOAD_TOO_LARGE, DB_BUSY */
  async updateProject(name: string, changes: ProjectChanges): Promise<Project> {
    return this.#projects.update(checkProjectName(name, 'name'), (before) =>
      changedProject(before, changes, this.#roots),
    );
  }

  /**
   * Agents that work on it then work on nothing, at the version they had.
   * @throws StompError PROJECT_NOT_FOUND, DB_BUSY
   */
  async deleteProject(name: string): Promise<Project> {
    return this.#projects.delete(checkProjectName(name, 'name'));
  }

  /** What has happened to sessions and current projects, newest first. */
  async listEvents(options: EventOptions = {}): Promise<ContextEvent[]> {
    checkFields('options', options, ['agentId', 'type', 'before', 'limit']);
    const limit = checkInteger('limit', options.limit, 100, { min: 1, max: 1000 });
    const { agentId, type, before } = options;
    if (agentId !== undefined) checkAgentId(agentId, 'agentId');
    return this.#storage.read(() =>
      listEvents({
        ...(agentId ? { agentId } : {}),
        ...(type ? { type } : {}),
        ...(before ? { before } : {}),
        limit,
      }),
    );
  }

  /** Closes the guard, if it was opened here. Sessions live on. */
  async close(): Promise<void> {
    clearInterval(this.#cleaning);
    this.#cleaning = undefined;
    if (this.#ownsMaasl) await this.maasl.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #cleanEvery(ms: number): void {
    const clean = () => this.cleanupExpired().catch((error: unknown) => this.#onProblem(toStompError(error)));
    this.#cleaning = setInterval(clean, ms).unref();
  }
}

async function openMaasl({
  maasl,
  database,
}: AgentContextOptions): Promise<{ maasl: Maasl; ownsMaasl: boolean }> {
  if (maasl !== undefined && database !== undefined) refuse('database', database, 'left out beside a guard');
  if (maasl !== undefined) return { maasl, ownsMaasl: false };
  if (typeof database !== 'string') refuse('database', database, 'a file or an address');
  return { maasl: await Maasl.open({ database }), ownsMaasl: true };
}

/** Ids of sessions follow the rule of agents. */
function checkSession(sessionId: unknown): string {
  return checkAgentId(sessionId, 'sessionId');
}

function optionalAgent(agentId: string | undefined): string | undefined {
  return agentId === undefined ? undefined : checkAgentId(agentId, 'agentId');
}
