/** Takes over what a state file of before there were agents says. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { canonicalPath } from '../paths.js';
import { rows, type Storage, type Work } from '../storage/storage.js';
import { recordEvent } from './events.js';
import {
  type LegacyProject,
  type LegacyState,
  legacyProjectIn,
  legacyStateOf,
  type Skipped,
} from './legacy-state.js';
import { lockAgent } from './sessions.js';
import {
  copyStateFile,
  isObject,
  type Members,
  readStateFile,
  stateFileError,
  stateLock,
  writeStateFile,
} from './state-file.js';
import { defaultAgent } from './types.js';

const kind = 'legacy_state';
const mostToldSkipped = 100;

export interface LegacyOptions {
  readonly storage: Storage;
  /** Of the state file. */
  readonly path: string;
  /** Folders that projects must lie in; none: anywhere. */
  readonly roots?: readonly string[];
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** What was taken over; also kept as the metadata of the session that did it. */
export interface LegacyMigration {
  readonly agent_id: string;
  readonly session_id: string;
  readonly current_project: string;
  /** How many there were not yet. */
  readonly projects_created: number;
  /** Projects that were left out, the first 100 of them. */
  readonly skipped: readonly Skipped[];
  /** A copy of the file as it was. */
  readonly backup: string;
  /** Of the file as it was, in lower-case hex. */
  readonly sha256: string;
}

/**
 * Makes a global `current_project` of the state file that of the agent Scribe, unless it has had one already, and
 * removes it from the file. The projects of the file come along. It is one transaction, before which the file is
 * copied and after which it is changed: whatever happens, the next call finds the old state whole, or completes the
 * new one. Several processes may call it at once.
 * @returns null when there was nothing to do
 * @throws StompError STATE_INVALID when the file is no JSON, or its current project none; INTERNAL_ERROR when it
 *   cannot be read, copied or changed; DB_BUSY
 */
export async function migrateLegacyState(options: LegacyOptions): Promise<LegacyMigration | null> {
  const { storage, now = Date.now } = options;
  const path = resolve(options.path);
  const roots = await Promise.all((options.roots ?? []).map(canonicalPath));
  while (true) {
    const text = readStateFile(path);
    const state = text && (await legacyStateOf(text.members, { path, home: homeOf(path), roots }));
    // Nearly every start ends here.
    if (!state) return null;
    const sessionId = `migration-${randomUUID()}`;
    const found: Found = { path, bytes: text.bytes, state, sessionId, at: Math.floor(now()) };
    const migration = await storage.write(() => migrate(storage, found));
    if (migration === 'changed') continue;
    if (migration) await storage.write(() => clear(storage, path, migration));
    return migration;
  }
}

interface Found {
  readonly path: string;
  readonly bytes: Buffer;
  readonly state: LegacyState;
  readonly sessionId: string;
  /** When it was found. */
  readonly at: number;
}

/** @returns `changed` when somebody has written the file since it was read */
function* migrate(storage: Storage, found: Found): Work<LegacyMigration | 'changed' | null> {
  const { path, bytes, state, sessionId, at } = found;
  yield* stateLock(storage);
  if (!readStateFile(path)?.bytes.equals(bytes)) return 'changed';
  yield* lockAgent(defaultAgent);
  const before = yield* madeBefore(state.currentProject);
  if (before) return before;
  const row = yield* rows('SELECT version FROM agent_projects WHERE agent_id = ?', defaultAgent);
  if (row.length > 0) return null;
  // A file is written in a transaction: the rows name it. A second run finds the copy of the first.
  const backup = backUp(path, bytes, at);
  const { created, skipped } = yield* addProjects(state, at);
  const migration: LegacyMigration = {
    agent_id: defaultAgent,
    session_id: sessionId,
    current_project: state.currentProject,
    projects_created: created,
    skipped: skipped.slice(0, mostToldSkipped),
    backup,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  yield* addSession(migration, path, at);
  yield* setCurrent(migration, at);
  return migration;
}

/** A project of the state file lies where the folder of the file lies. */
function homeOf(path: string): string {
  const folder = dirname(path);
  return basename(folder) === '.stomp' ? dirname(folder) : folder;
}

/** That of a process which was cut off before it could change the file, or of another one just now. */
function* madeBefore(currentProject: string): Work<LegacyMigration | undefined> {
  const sessions = yield* rows(
    "SELECT metadata FROM agent_sessions WHERE agent_id = ? AND id LIKE 'migration-%' ORDER BY started_at DESC",
    defaultAgent,
  );
  const known = sessions.map(({ metadata }) => migrationIn(JSON.parse(String(metadata))));
  return known.find((migration) => migration?.current_project === currentProject);
}

function migrationIn(metadata: unknown): LegacyMigration | undefined {
  if (!isObject(metadata) || metadata.kind !== kind) return undefined;
  const { kind: _kind, file: _file, ...migration } = metadata;
  return migration as unknown as LegacyMigration;
}

/** @returns the path of the copy */
function backUp(path: string, bytes: Buffer, at: number): string {
  try {
    const copies = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.legacy-`));
    const known = copies
      .map((name) => join(dirname(path), name))
      .find((copy) => readFileSync(copy).equals(bytes));
    if (known) return known;
  } catch (error) {
    throw stateFileError(path, 'compared with earlier copies', error);
  }
  const copy = `${path}.legacy-${new Date(at).toISOString().replace(/[:.]/g, '')}`;
  let free = copy;
  for (let n = 1; existsSync(free); n++) free = `${copy}-${n}`;
  copyStateFile(path, bytes, free);
  return free;
}

function* addProjects(
  { projects, skipped }: LegacyState,
  at: number,
): Work<{ created: number; skipped: readonly Skipped[] }> {
  let created = 0;
  const left = [...skipped];
  for (const ways of projects) {
    const outcome = yield* addProject(ways, at);
    if (outcome === 'created') created++;
    if (outcome === 'log taken')
      left.push({ name: ways[0].name, reason: 'Its log is that of another project.' });
  }
  return { created, skipped: left };
}

function* addProject(ways: LegacyProject, at: number): Work<'created' | 'known' | 'log taken'> {
  const known = yield* rows('SELECT 1 AS known FROM projects WHERE name = ?', ways[0].name);
  if (known.length > 0) return 'known';
  for (const { name, root, progress_log_path, description, tags, meta } of ways) {
    const added = yield* rows(
      `INSERT INTO projects (name, root, progress_log_path, description, tags, meta, created_at, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name`,
      name,
      root,
      progress_log_path,
      description,
      JSON.stringify(tags),
      JSON.stringify(meta),
      at,
      at,
    );
    if (added.length > 0) return 'created';
  }
  return 'log taken';
}

function* addSession(migration: LegacyMigration, path: string, at: number): Work<void> {
  const { session_id: sessionId, agent_id: agentId, backup } = migration;
  yield* rows(
    `INSERT INTO agent_sessions (id, agent_id, started_at, last_active_at, expires_at, status, reason, metadata)
     VALUES (?, ?, ?, ?, ?, 'expired', 'ended', ?)`,
    sessionId,
    agentId,
    at,
    at,
    at,
    JSON.stringify({ kind, file: path, ...migration }),
  );
  const event = { agentId, sessionId, metadata: { kind, backup }, at };
  yield* recordEvent({ ...event, type: 'session_started' });
  yield* recordEvent({
    ...event,
    type: 'project_set',
    to: migration.current_project,
    expected: 0,
    actual: 1,
  });
  yield* recordEvent({ ...event, type: 'session_ended' });
}

function* setCurrent({ agent_id, session_id, current_project }: LegacyMigration, at: number): Work<void> {
  yield* rows(
    `INSERT INTO agent_projects (agent_id, project_name, version, updated_at, updated_by, session_id, change_id)
     VALUES (?, ?, 1, ?, 'migration', ?, ?)`,
    agent_id,
    current_project,
    at,
    session_id,
    session_id,
  );
}

/** The file last: until then it says what the next call needs to know. Others may have written it since. */
function* clear(storage: Storage, path: string, { current_project }: LegacyMigration): Work<void> {
  yield* stateLock(storage);
  const members: Members = readStateFile(path)?.members ?? {};
  if (legacyProjectIn(members) !== current_project) return;
  const { current_project: _current, ...rest } = members;
  writeStateFile(path, rest, { durably: true });
}
