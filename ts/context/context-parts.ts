/** What a context is made of, opened with checked options. */
import { checkBoolean, checkFields, checkInteger, checkObserver, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { Maasl } from '../guard/index.js';
import { canonicalPath } from '../paths.js';
import type { Storage } from '../storage/storage.js';
import { type WallClock, wallClock } from '../storage/wall-clock.js';
import { CurrentProjects } from './current-projects.js';
import { migrateLegacyState } from './legacy.js';
import { unfinishedLogs } from './log-rows.js';
import { StateMirror } from './mirror.js';
import { ProgressLog } from './progress-log.js';
import { Projects } from './projects.js';
import { EntryQueries } from './query.js';
import { contextMigrations } from './schema.js';
import { type SessionRules, Sessions } from './sessions.js';

/** Where the context is kept, and by which rules. */
export interface AgentContextOptions {
  /** A guard with a database, which the caller closes. Its locks guard the log files. */
  readonly maasl?: Maasl;
  /** Instead: a file for SQLite, or `postgres://…`, for a guard of its own. */
  readonly database?: string;
  /** A JSON file that is kept like the database, for people and user interfaces; none unless it is named. */
  readonly stateFile?: string;
  /**
   * Whether to bring the state file up to date at once, and to take over what it says of before there were agents.
   * Without it the file is looked at as it lies there, until something changes. @default true
   */
  readonly updateStateFile?: boolean;
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
  /** A progress log that has grown to this is closed, and a new file begun. @default 8 MiB */
  readonly rotateBytes?: number;
  /** Writes at the start the lines of entries that a killed process has left to be written. @default true */
  readonly recoverLogs?: boolean;
  /** Replaces the clock of sessions and entries: milliseconds since 1970. */
  readonly now?: () => number;
  /** Is told of what goes wrong beside the calls, and harms none of them. */
  readonly onProblem?: (problem: StompError) => void;
}

export interface ContextParts {
  readonly maasl: Maasl;
  readonly ownsMaasl: boolean;
  readonly storage: Storage;
  readonly roots: readonly string[];
  /** The database and the state file, where they are files: no log may take their place. */
  readonly ownFiles: readonly string[];
  readonly clock: WallClock;
  readonly sessions: Sessions;
  readonly current: CurrentProjects;
  readonly projects: Projects;
  readonly log: ProgressLog;
  readonly queries: EntryQueries;
  /** Undefined: there is no state file. */
  readonly mirror: StateMirror | undefined;
  readonly cleanUpMs: number;
  readonly now: () => number;
  readonly onProblem: (problem: StompError) => void;
}

const optionFields = [
  'maasl',
  'database',
  'stateFile',
  'updateStateFile',
  'roots',
  'sessionTtlMs',
  'maxActiveSessions',
  'sessionStartsPerMinute',
  'cleanUpMs',
  'rotateBytes',
  'recoverLogs',
  'now',
  'onProblem',
];

const day = 24 * 3600 * 1000;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONFIG_INVALID, DB_BUSY */
export async function openParts(options: AgentContextOptions): Promise<ContextParts> {
  checkFields('options', options, optionFields);
  const { now } = options;
  if (now !== undefined && typeof now !== 'function') refuse('now', now, 'a function');
  const checked: Checked = {
    options,
    rules: sessionRules(options),
    cleanUpMs: checkInteger('cleanUpMs', options.cleanUpMs, 60_000, { min: 0, max: day }),
    recoverLogs: checkBoolean('recoverLogs', options.recoverLogs, true),
    roots: await Promise.all(checkList('roots', options.roots).map(canonicalPath)),
    onProblem: checkObserver('onProblem', options.onProblem) ?? (() => undefined),
  };
  const { maasl, ownsMaasl } = await openMaasl(options);
  try {
    return await partsOver(maasl, ownsMaasl, checked);
  } catch (error) {
    if (ownsMaasl) await maasl.close();
    throw error;
  }
}

interface Checked extends Pick<ContextParts, 'roots' | 'cleanUpMs' | 'onProblem'> {
  readonly options: AgentContextOptions;
  readonly rules: SessionRules;
  readonly recoverLogs: boolean;
}

async function partsOver(maasl: Maasl, ownsMaasl: boolean, checked: Checked): Promise<ContextParts> {
  const { options, rules, recoverLogs, roots, cleanUpMs, onProblem } = checked;
  const { now } = options;
  const { storage } = maasl;
  if (!storage) refuse('maasl', maasl, 'a guard with a database');
  await storage.migrate(contextMigrations);
  const clock = wallClock(storage, now);
  const sessions = new Sessions(storage, clock, rules);
  const log = await openLog(options, maasl, roots);
  const projects = new Projects(storage, clock);
  if (recoverLogs) await finishLogs(storage, projects, log, onProblem);
  const mirror = await openMirror(options, storage, roots, onProblem);
  const database = storage.dialect === 'sqlite' ? [await canonicalPath(storage.name)] : [];
  return {
    maasl,
    ownsMaasl,
    storage,
    roots,
    ownFiles: mirror ? [...database, mirror.path] : database,
    clock,
    sessions,
    current: new CurrentProjects(storage, sessions),
    projects,
    log,
    queries: new EntryQueries(storage),
    mirror,
    cleanUpMs,
    now: now ?? Date.now,
    onProblem,
  };
}

function checkList<T>(field: string, value: readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : refuse(field, value, 'a list');
}

function sessionRules(options: AgentContextOptions): SessionRules {
  const { sessionTtlMs, maxActiveSessions, sessionStartsPerMinute } = options;
  const counts = { min: 1, max: 1_000_000_000 };
  return {
    ttlMs: checkInteger('sessionTtlMs', sessionTtlMs, 900_000, { min: 1, max: 365 * day }),
    maxActive: checkInteger('maxActiveSessions', maxActiveSessions, 10_000, counts),
    startsPerMinute: checkInteger('sessionStartsPerMinute', sessionStartsPerMinute, 600, counts),
  };
}

function openLog(
  { rotateBytes, now }: AgentContextOptions,
  maasl: Maasl,
  roots: readonly string[],
): Promise<ProgressLog> {
  const given = { ...(rotateBytes === undefined ? {} : { rotateBytes }), ...(now ? { now } : {}) };
  return ProgressLog.open({ maasl, roots, ...given });
}

/** Writes the lines of entries whose writer was killed after it had stored them. */
async function finishLogs(
  storage: Storage,
  projects: Projects,
  log: ProgressLog,
  onProblem: (problem: StompError) => void,
): Promise<void> {
  const finish = async (name: string) => {
    try {
      await log.recover(await projects.get(name));
    } catch (error) {
      // The next entry tries again; the others are safe in the database.
      if (error instanceof StompError) onProblem(error);
      else throw error;
    }
  };
  await Promise.all((await storage.read(unfinishedLogs)).map(finish));
}

/** Takes over what the state file says of before there were agents, and makes it a mirror of the database. */
async function openMirror(
  { stateFile, updateStateFile, now }: AgentContextOptions,
  storage: Storage,
  roots: readonly string[],
  onProblem: (problem: StompError) => void,
): Promise<StateMirror | undefined> {
  const isUpdated = checkBoolean('updateStateFile', updateStateFile, true);
  if (stateFile === undefined) return undefined;
  const path = await canonicalPath(stateFile);
  // What is there and broken is put aside and made anew: not whatever file somebody names by mistake.
  if (!path.endsWith('.json')) refuse('stateFile', stateFile, 'the path of a file whose name ends in .json');
  const clock = now ? { now } : {};
  const mirror = new StateMirror({ storage, path, onProblem, ...clock });
  if (!isUpdated) return mirror;
  try {
    await migrateLegacyState({ storage, path, roots, ...clock });
  } catch (error) {
    // The database is the truth; a file that cannot be read keeps nobody from his work.
    if (!(error instanceof StompError) || error.code === 'DB_BUSY') throw error;
    onProblem(error);
  }
  await mirror.update();
  return mirror;
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
