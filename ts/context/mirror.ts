/** Keeps the state file like the database, for whoever looks at it. */
import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkObserver } from '../arguments.js';
import { StompError } from '../errors.js';
import { type Migration, rows, type Storage, type Work } from '../storage/storage.js';
import {
  type CurrentState,
  invalidState,
  isObject,
  type Members,
  type RecentTool,
  readStateFile,
  type State,
  stateFileError,
  stateFormat,
  stateLock,
  writeStateFile,
} from './state-file.js';
import { defaultAgent } from './types.js';

const recentIndex =
  'CREATE INDEX agent_project_events_recent ON agent_project_events (id) WHERE to_project IS NOT NULL AND success = 1';

/** An index that finds recent projects among many other events; the mirror works without it too. */
export const mirrorMigrations: readonly Migration[] = [
  { name: 'context-mirror-1', sqlite: [recentIndex], postgres: [recentIndex] },
];

export interface StateMirrorOptions {
  readonly storage: Storage;
  /** Of the state file; its folder is made. */
  readonly path: string;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /** Told why the file is not, or not quite, what it should be: once each time that something goes wrong. */
  readonly onProblem?: (problem: StompError) => void;
}

/** Where the file says something else than the database. */
export interface StateDrift {
  /** An agent, or the member of the file. */
  readonly subject: string;
  /** In a sentence. */
  readonly problem: string;
}

const mostProjects = 5;
const mostTools = 10;
// Of the latest changes of current projects, in which recent ones are looked for.
const mostChanges = 200;
// The use of a tool alone is not worth a write each time.
const toolDelayMs = 1000;
// Between the beginnings of two updates while changes come in a burst.
const restMs = 50;
// For an update of another process that is on its way after its commit.
const secondLookMs = 250;

export class StateMirror {
  readonly path: string;
  readonly #storage: Storage;
  readonly #now: () => number;
  readonly #onProblem: (problem: StompError) => void;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  /** Latest first, not in the file yet. */
  #tools: readonly RecentTool[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Of a change that waits for the end of a rest. */
  #late: NodeJS.Timeout | undefined;
  /** Of `performance.now()`. */
  #restUntil = 0;
  #said: string | undefined;

  constructor({ storage, path, now = Date.now, onProblem }: StateMirrorOptions) {
    this.path = path;
    this.#storage = storage;
    this.#now = now;
    this.#onProblem = checkObserver('onProblem', onProblem) ?? (() => undefined);
  }

  /**
   * To be called after a commit: resolves once the file is at least as new as that, or once `onProblem` has been told
   * why it is not. Calls while one is at work become one.
   */
  update(): Promise<void> {
    this.#next ??= this.#after(this.#running);
    return this.#next;
  }

  /**
   * As `update`; but in a burst of changes it resolves at once, and the file follows within 50 ms: to write it after
   * each one would hold them up.
   */
  changed(): Promise<void> {
    if (performance.now() >= this.#restUntil) {
      this.#restUntil = performance.now() + restMs;
      return this.update();
    }
    this.#late ??= setTimeout(() => void this.#settle(), restMs);
    return Promise.resolve();
  }

  /** Notes that an agent uses a tool; in the file with the next update, after a second at the latest. */
  toolUsed(name: string, agentId: string): void {
    this.#tools = latestTools([{ name, agent_id: agentId, at: this.#now() }, ...this.#tools]);
    this.#timer ??= setTimeout(() => void this.update(), toolDelayMs).unref();
  }

  /**
   * Where the file differs from the database, once updates of other processes have had their time.
   * @throws StompError INTERNAL_ERROR when the file cannot be read; DB_BUSY
   */
  async verify(): Promise<StateDrift[]> {
    await this.#settle();
    const drift = await this.#drift();
    if (drift.length === 0) return drift;
    await sleep(secondLookMs);
    return this.#drift();
  }

  /** Writes the file anew. @throws StompError STATE_INVALID for one of a later version; INTERNAL_ERROR; DB_BUSY */
  async rebuild(): Promise<void> {
    await this.#settle();
    await this.#write();
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    if (this.#tools.length > 0) await this.update();
    await this.#settle();
    clearTimeout(this.#timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Writes what waits for the end of a rest. */
  async #settle(): Promise<void> {
    if (this.#late) {
      clearTimeout(this.#late);
      this.#late = undefined;
      this.#restUntil = performance.now() + restMs;
      await this.update();
    }
    await (this.#next ?? this.#running);
  }

  async #after(running: Promise<void> | undefined): Promise<void> {
    await running;
    this.#running = this.#next;
    this.#next = undefined;
    try {
      await this.#write();
      this.#said = undefined;
    } catch (error) {
      this.#say(error instanceof StompError ? error : stateFileError(this.path, 'written', error));
    }
  }

  #say(problem: StompError): void {
    if (problem.message === this.#said) return;
    this.#said = problem.message;
    this.#onProblem(problem);
  }

  async #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let noted = this.#tools;
    let aside: StompError | undefined;
    const storage = this.#storage;
    const write = function* (this: StateMirror): Work<void> {
      yield* stateLock(storage);
      const { current, recent_projects } = yield* stored();
      // The file is written here, though a transaction should touch nothing but the database: whoever reads the rows
      // and writes them down without the lock may put an old state over a newer one. It may happen twice, and it may
      // happen without a commit: there is nothing to commit.
      const found = this.#found((problem) => {
        aside = problem;
      });
      noted = this.#tools;
      const state: State = {
        format: stateFormat,
        current,
        recent_projects,
        recent_tools: latestTools([...noted, ...toolsIn(found)]),
        updated_at: this.#now(),
      };
      writeStateFile(this.path, { ...found, ...state });
    };
    await storage.write(write.bind(this));
    this.#tools = this.#tools.filter((tool) => !noted.includes(tool));
    if (aside) this.#onProblem(aside);
  }

  /** What is in the file now; a corrupt one is put aside. */
  #found(onAside: (problem: StompError) => void): Members {
    try {
      const members = readStateFile(this.path)?.members ?? {};
      refuseForeign(this.path, members);
      refuseLater(this.path, members);
      return members;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      const aside = `${this.path}.corrupt`;
      try {
        renameSync(this.path, aside);
      } catch (failure) {
        throw stateFileError(this.path, `renamed to ${aside}`, failure);
      }
      onAside(
        invalidState(
          this.path,
          'was corrupt',
          `It is made anew; the corrupt one is kept as ${aside}.`,
          error,
        ),
      );
      return {};
    }
  }

  #drift(): Promise<StateDrift[]> {
    const path = this.path;
    return this.#storage.read(function* () {
      const inDatabase = yield* stored();
      return drift(path, inDatabase);
    });
  }
}

type Stored = Pick<State, 'current' | 'recent_projects'>;

function* stored(): Work<Stored> {
  const agents = yield* rows(
    'SELECT agent_id, project_name, version, updated_at FROM agent_projects ORDER BY agent_id',
  );
  const recent = yield* rows(
    `SELECT to_project, max(id) AS latest FROM (
       SELECT id, to_project FROM agent_project_events WHERE to_project IS NOT NULL AND success = 1
       ORDER BY id DESC LIMIT ${mostChanges}
     ) AS changes
     WHERE to_project IN (SELECT name FROM projects)
     GROUP BY to_project ORDER BY latest DESC LIMIT ${mostProjects}`,
  );
  return {
    // Not by assignment: an agent may be called `__proto__`.
    current: Object.fromEntries(
      agents.map(({ agent_id, project_name, version, updated_at }) => [
        String(agent_id),
        {
          project: project_name === null ? null : String(project_name),
          version: Number(version),
          updated_at: Number(updated_at),
        },
      ]),
    ),
    recent_projects: recent.map(({ to_project }) => String(to_project)),
  };
}

function latestTools(tools: readonly RecentTool[]): RecentTool[] {
  const latest = new Map<string, RecentTool>();
  for (const tool of [...tools].sort((a, b) => b.at - a.at)) {
    const key = JSON.stringify([tool.agent_id, tool.name]);
    if (!latest.has(key)) latest.set(key, tool);
  }
  return [...latest.values()].slice(0, mostTools);
}

/** What can be understood of the tools in a file, of before it had a format too. */
function toolsIn({ recent_tools: tools }: Members): RecentTool[] {
  return Array.isArray(tools) ? tools.flatMap(toolOf) : [];
}

function toolOf(value: unknown): RecentTool[] {
  if (typeof value === 'string') return [{ name: value, agent_id: defaultAgent, at: 0 }];
  if (!isObject(value) || typeof value.name !== 'string') return [];
  const { name, agent_id, at, ts } = value;
  return [{ name, agent_id: typeof agent_id === 'string' ? agent_id : defaultAgent, at: timeOf(at ?? ts) }];
}

function timeOf(value: unknown): number {
  const time = typeof value === 'string' ? Date.parse(value) : value;
  return typeof time === 'number' && Number.isFinite(time) ? time : 0;
}

function refuseLater(path: string, { format }: Members): void {
  if (format === undefined || format === stateFormat) return;
  const remedy = 'Put it aside to have it made anew.';
  if (Number.isSafeInteger(format) && (format as number) > stateFormat) {
    throw new StompError(
      'STATE_INVALID',
      `The state file ${path} is of format ${format}, of a later version of this program: it is left as it is. ${remedy}`,
      { fields: { file: path, format } },
    );
  }
  throw invalidState(path, 'has a format that is no number', remedy);
}

// What this program or the one before it has written into it.
const ownMembers = ['format', 'current', 'current_project', 'projects', 'recent_projects', 'recent_tools'];

/** A file of some other program, named by mistake. */
function refuseForeign(path: string, members: Members): void {
  const names = Object.keys(members);
  if (names.length === 0 || names.some((name) => ownMembers.includes(name))) return;
  throw new StompError(
    'STATE_INVALID',
    `${path} is no state file but JSON of something else: it is left as it is. Name another file.`,
    { fields: { file: path, format: null } },
  );
}

function isCorrupt(error: unknown): boolean {
  return error instanceof StompError && error.code === 'STATE_INVALID' && !('format' in error.fields);
}

function drift(path: string, inDatabase: Stored): StateDrift[] {
  let members: Members | undefined;
  try {
    members = readStateFile(path)?.members;
    refuseLater(path, members ?? {});
  } catch (error) {
    if (error instanceof StompError && error.code === 'STATE_INVALID')
      return [{ subject: path, problem: error.message }];
    throw error;
  }
  if (members) return [...agentDrift(members, inDatabase), ...projectDrift(members, inDatabase)];
  const empty = Object.keys(inDatabase.current).length === 0;
  return empty ? [] : [{ subject: path, problem: 'There is no state file.' }];
}

function agentDrift({ current }: Members, inDatabase: Stored): StateDrift[] {
  const inFile = new Map(isObject(current) ? Object.entries(current) : []);
  const stored = new Map(Object.entries(inDatabase.current));
  const agents = [...new Set([...stored.keys(), ...inFile.keys()])].sort();
  return agents.flatMap((agent) => {
    const [file, database] = [said(inFile.get(agent)), said(stored.get(agent))];
    if (file === database) return [];
    return [{ subject: agent, problem: `The file says ${file} of ${agent}, the database ${database}.` }];
  });
}

function said(state: unknown): string {
  if (state === undefined) return 'nothing';
  if (!isObject(state)) return `${JSON.stringify(state)}`.slice(0, 200);
  const { project, version, updated_at } = state as unknown as CurrentState;
  return `project ${JSON.stringify(project)} at version ${version} since ${updated_at}`;
}

function projectDrift({ recent_projects }: Members, inDatabase: Stored): StateDrift[] {
  const [file, database] = [JSON.stringify(recent_projects), JSON.stringify(inDatabase.recent_projects)];
  if (file === database) return [];
  const problem = `The file lists ${file?.slice(0, 500)} as recent projects, the database ${database}.`;
  return [{ subject: 'recent_projects', problem }];
}
