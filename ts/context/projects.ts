/** Projects: their folder, and the file in which their progress is written down. */
import { createHash } from 'node:crypto';
import { StompError } from '../errors.js';
import { type Row, rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import type { WallClock } from '../storage/wall-clock.js';
import type { Meta } from './entry.js';
import { projectNotFound } from './errors.js';
import { recordEvent } from './events.js';
import type { Project } from './types.js';

/** All of a project but its times; paths are absolute. */
export type ProjectContent = Omit<Project, 'created_at' | 'updated_at'>;

const columns = 'name, root, progress_log_path, description, tags, meta, created_at, updated_at';

export class Projects {
  readonly #storage: Storage;
  readonly #clock: WallClock;

  constructor(storage: Storage, clock: WallClock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** @throws StompError PROJECT_EXISTS, DB_BUSY */
  create(content: ProjectContent): Promise<Project> {
    const clock = this.#clock;
    let made: Project | undefined;
    return this.#storage.write(function* () {
      const now = yield* clock.now();
      const [row] = yield* rows(
        `INSERT INTO projects (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING ${columns}`,
        ...valuesOf(content),
        now,
        now,
      );
      if (!row) return yield* found(content, made);
      made = projectOf(row);
      return made;
    });
  }

  /** @throws StompError PROJECT_NOT_FOUND, DB_BUSY */
  get(name: string): Promise<Project> {
    return this.#storage.read(() => projectWithin(name));
  }

  /** By name. */
  list(): Promise<Project[]> {
    return this.#storage.read(function* () {
      const all = yield* rows(`SELECT ${columns} FROM projects`);
      // Databases sort texts each in their own way.
      return all.map(projectOf).sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  /** @throws StompError PROJECT_NOT_FOUND, PROJECT_EXISTS when the log belongs to another one, DB_BUSY */
  async update(name: string, change: (before: Project) => Promise<ProjectContent>): Promise<Project> {
    while (true) {
      const before = await this.get(name);
      const content = await change(before);
      const after = await this.#storage.write(() => this.#replace(before, content));
      if (after) return after;
    }
  }

  /** @returns undefined when it is no longer what it was before */
  *#replace(before: Project, content: ProjectContent): Work<Project | undefined> {
    const { name } = before;
    const now = yield* this.#clock.now();
    const known = yield* lockedProject(this.#storage, name, 'NO KEY UPDATE');
    if (JSON.stringify(known) !== JSON.stringify(before)) return undefined;
    const [other] = yield* rows(
      'SELECT name FROM projects WHERE progress_log_path = ? AND name <> ?',
      content.progress_log_path,
      name,
    );
    if (other) throw logTaken(content, String(other.name));
    const [row] = yield* rows(
      `UPDATE projects SET root = ?, progress_log_path = ?, description = ?, tags = ?, meta = ?, updated_at = ?
       WHERE name = ? RETURNING ${columns}`,
      ...valuesOf(content).slice(1),
      now,
      name,
    );
    return row && projectOf(row);
  }

  /**
   * Agents that work on it then work on none; the version of their choice stays. The log stays, file and entries, and
   * goes on should the project be created again.
   * @throws StompError PROJECT_NOT_FOUND, DB_BUSY
   */
  delete(name: string): Promise<Project> {
    const storage = this.#storage;
    const clock = this.#clock;
    let deleted: Project | undefined;
    return storage.write(function* () {
      const now = yield* clock.now();
      // By a run of the same work whose commit was not heard of.
      if (deleted && !(yield* isThere(name))) return deleted;
      // From here on nobody turns to it, and those who have stay until they are told.
      const project = yield* lockedProject(storage, name, 'UPDATE');
      const lock = storage.dialect === 'postgres' ? ' FOR UPDATE' : '';
      const agents = yield* rows(
        `SELECT agent_id, version FROM agent_projects WHERE project_name = ? ORDER BY agent_id${lock}`,
        name,
      );
      yield* rows('DELETE FROM projects WHERE name = ?', name);
      for (const { agent_id: agentId, version } of agents) {
        yield* recordEvent({
          agentId: String(agentId),
          sessionId: null,
          type: 'project_cleared',
          from: name,
          to: null,
          actual: Number(version),
          metadata: { reason: 'project_deleted' },
          at: now,
        });
      }
      deleted = project;
      return project;
    });
  }
}

/** @throws StompError PROJECT_NOT_FOUND */
export function* projectWithin(name: string, lock = ''): Work<Project> {
  const [row] = yield* rows(`SELECT ${columns} FROM projects WHERE name = ?${lock}`, name);
  if (!row) throw projectNotFound(name);
  return projectOf(row);
}

function* isThere(name: string): Work<boolean> {
  return (yield* rows('SELECT 1 AS found FROM projects WHERE name = ?', name)).length > 0;
}

/** The same, held to the end of the transaction; in SQLite one that writes holds everything. */
function lockedProject(
  { dialect }: Storage,
  name: string,
  strength: 'UPDATE' | 'NO KEY UPDATE',
): Work<Project> {
  return projectWithin(name, dialect === 'postgres' ? ` FOR ${strength}` : '');
}

/**
 * Name of the project's folder for what is kept about it: its own where that can stand in a path on every system.
 * Names that have to be changed get a part of their hash, so that no two share a folder.
 */
export function folderName(project: string): string {
  const plain = project.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 64);
  if (plain === project && !/^\.+$|\.$/.test(project)) return project;
  const hash = createHash('sha256').update(project).digest('hex').slice(0, 8);
  return `${plain.replace(/^[.-]+|[.-]+$/g, '') || 'project'}-${hash}`;
}

/**
 * Something was in the way: this project, or one with the same log.
 * @param made by a run of the same work whose commit was not heard of
 */
function* found(content: ProjectContent, made: Project | undefined): Work<Project> {
  const [row] = yield* rows(`SELECT ${columns} FROM projects WHERE name = ?`, content.name);
  if (row && made && JSON.stringify(projectOf(row)) === JSON.stringify(made)) return made;
  if (row) {
    throw new StompError(
      'PROJECT_EXISTS',
      `There is a project ${JSON.stringify(content.name)} already. Update it, or choose another name.`,
      { fields: { field: 'name', value: content.name } },
    );
  }
  const [other] = yield* rows(
    'SELECT name FROM projects WHERE progress_log_path = ?',
    content.progress_log_path,
  );
  throw logTaken(content, String(other?.name));
}

function logTaken({ progress_log_path: path }: ProjectContent, other: string): StompError {
  return new StompError(
    'PROJECT_EXISTS',
    `${path} is the log of the project ${JSON.stringify(other)}. Choose another file for this one.`,
    { fields: { field: 'progress_log_path', value: path, project: other } },
  );
}

function valuesOf(content: ProjectContent): SqlValue[] {
  return [
    content.name,
    content.root,
    content.progress_log_path,
    content.description,
    JSON.stringify(content.tags),
    JSON.stringify(content.meta),
  ];
}

function projectOf(row: Row): Project {
  return {
    name: String(row.name),
    root: String(row.root),
    progress_log_path: String(row.progress_log_path),
    description: String(row.description),
    tags: JSON.parse(String(row.tags)) as string[],
    meta: JSON.parse(String(row.meta)) as Meta,
    created_at: Number(row.created_at),
    updated_at: Number(row.updated_at),
  };
}
