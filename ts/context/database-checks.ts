/** Checks of the tables of sessions, current projects and logs. */
import { type Migration, type Row, rows, type Storage, type Work } from '../storage/storage.js';
import type { WallClock } from '../storage/wall-clock.js';
import type { Check, Finding } from './check.js';
import { entryStatuses } from './entry.js';
import { recordEvent, textOf } from './events.js';
import type { StateMirror } from './mirror.js';
import { lockAgent } from './sessions.js';

export interface DatabaseChecksOptions {
  readonly storage: Storage;
  /** All that the tables were made by. */
  readonly migrations: readonly Migration[];
  readonly clock: WallClock;
  /** Left out: there is no state file. */
  readonly mirror?: StateMirror;
}

/** In the order in which they are to be run: what is repaired first, others rely on. */
export function databaseChecks({ storage, migrations, clock, mirror }: DatabaseChecksOptions): Check[] {
  return [
    structureCheck(storage),
    sessionCheck(storage, clock),
    indexCheck(storage, migrations),
    versionCheck(storage, clock),
    referenceCheck(storage, clock),
    logRowsCheck(storage),
    ...(mirror ? [mirrorCheck(mirror)] : []),
  ];
}

/** Something that is wrong, and what mends it; without that it is worth knowing only. */
interface Damage {
  readonly subject: string;
  readonly problem: string;
  /** @returns what was done, in a sentence */
  readonly mend?: () => Work<string>;
}

/** Looks and mends in one transaction. */
function checkOf(storage: Storage, name: string, find: () => Work<Damage[]>): Check {
  const look = function* (repair: boolean): Work<Finding[]> {
    const findings: Finding[] = [];
    for (const { subject, problem, mend } of yield* find()) {
      const done = repair && mend ? yield* mend() : null;
      const finding = { check: name, subject, problem, repair: done };
      findings.push(mend ? finding : { ...finding, harmless: true });
    }
    return findings;
  };
  return {
    name,
    run: (repair) => (repair ? storage.write(() => look(true)) : storage.read(() => look(false))),
  };
}

/**
 * Whether the database itself is whole: pages and indexes in SQLite, indexes in PostgreSQL. SQLite reads all of the file
 * for it, and holds up this thread meanwhile.
 */
function structureCheck(storage: Storage): Check {
  const name = 'structure';
  const find = storage.dialect === 'sqlite' ? sqliteProblems : postgresProblems;
  const finding = (problem: string, repair: string | null): Finding => ({
    check: name,
    subject: storage.name,
    problem,
    repair,
  });
  return {
    name,
    async run(repair) {
      const before = await storage.read(find);
      if (before.length === 0 || !repair) return before.map((problem) => finding(problem, null));
      await storage.write(() => reindex(storage));
      const after = new Set(await storage.read(find));
      const remaining = [...after].filter((problem) => !before.includes(problem));
      return [
        ...before.map((problem) =>
          finding(problem, after.has(problem) ? null : 'The indexes were made anew.'),
        ),
        ...remaining.map((problem) => finding(problem, null)),
      ];
    },
  };
}

function* sqliteProblems(): Work<string[]> {
  const found = yield* rows('PRAGMA integrity_check');
  return found.map(({ integrity_check }) => String(integrity_check)).filter((problem) => problem !== 'ok');
}

function* postgresProblems(): Work<string[]> {
  const found = yield* rows(
    `SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT (i.indisvalid AND i.indisready) AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname`,
  );
  return found.map(({ name }) => `The index ${name} is not valid.`);
}

function* reindex({ dialect }: Storage): Work<void> {
  if (dialect === 'sqlite') {
    yield* rows('REINDEX');
    return;
  }
  const invalid = yield* rows(
    `SELECT i.indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT (i.indisvalid AND i.indisready) AND c.relnamespace = current_schema()::regnamespace`,
  );
  for (const { name } of invalid) yield* rows(`REINDEX INDEX ${name}`);
}

/** Indexes that have gone missing: some of them keep two of a kind from coming in. */
function indexCheck(storage: Storage, migrations: readonly Migration[]): Check {
  const wanted = migrations.flatMap((migration) =>
    migration[storage.dialect].flatMap((sql) => {
      const name = /^CREATE (?:UNIQUE )?INDEX (\w+)/.exec(sql)?.[1];
      return name === undefined ? [] : [{ name, sql }];
    }),
  );
  const catalogue =
    storage.dialect === 'sqlite'
      ? "SELECT name FROM sqlite_master WHERE type = 'index'"
      : 'SELECT indexname AS name FROM pg_indexes WHERE schemaname = current_schema()';
  return checkOf(storage, 'indexes', function* () {
    const found = yield* rows(catalogue);
    const there = new Set(found.map(({ name }) => name));
    return wanted
      .filter(({ name }) => !there.has(name))
      .map(({ name, sql }) => ({
        subject: name,
        problem: 'There is no such index.',
        mend: function* () {
          yield* rows(sql);
          return 'It was made.';
        },
      }));
  });
}

// Whoever cleans up regularly has done so long before.
const longOverMs = 3_600_000;

/** Sessions that are still called active though their lease is long over, or another one has begun. */
function sessionCheck(storage: Storage, clock: WallClock): Check {
  return checkOf(storage, 'sessions', function* () {
    const at = yield* clock.now();
    const over = yield* rows(
      "SELECT id, agent_id, expires_at FROM agent_sessions WHERE status = 'active' AND expires_at < ? ORDER BY id",
      at - longOverMs,
    );
    const superseded = yield* rows(
      `SELECT id, agent_id FROM agent_sessions AS s WHERE status = 'active' AND expires_at >= ? AND EXISTS (
         SELECT 1 FROM agent_sessions AS later WHERE later.agent_id = s.agent_id AND later.status = 'active'
           AND (later.started_at > s.started_at OR (later.started_at = s.started_at AND later.id > s.id))
       ) ORDER BY id`,
      at - longOverMs,
    );
    return [
      ...over.map((row) => ({
        subject: `session ${row.id} of ${row.agent_id}`,
        problem: `It is called active, but its lease ran out at ${timeOf(row.expires_at)}.`,
        mend: () => expire(row, 'lease', at),
      })),
      ...superseded.map((row) => ({
        subject: `session ${row.id} of ${row.agent_id}`,
        problem: 'It is called active, but a later one of the same agent is too.',
        mend: () => expire(row, 'superseded', at),
      })),
    ];
  });
}

function* expire({ id, agent_id }: Row, reason: 'lease' | 'superseded', at: number): Work<string> {
  const [agentId, sessionId] = [String(agent_id), String(id)];
  yield* lockAgent(agentId);
  const changed = yield* rows(
    "UPDATE agent_sessions SET status = 'expired', reason = ? WHERE id = ? AND status = 'active' RETURNING id",
    reason,
    sessionId,
  );
  if (changed.length === 0) return 'Somebody has ended it meanwhile.';
  yield* recordEvent({ agentId, sessionId, type: 'session_expired', metadata: { reason, by: 'doctor' }, at });
  return 'It was marked as expired.';
}

/** Versions that are behind their events: they would be given twice. */
function versionCheck(storage: Storage, clock: WallClock): Check {
  return checkOf(storage, 'versions', function* () {
    const found = yield* rows(
      `SELECT e.agent_id, max(e.actual_version) AS latest, p.version FROM agent_project_events AS e
         LEFT JOIN agent_projects AS p ON p.agent_id = e.agent_id
       WHERE e.success = 1 GROUP BY e.agent_id, p.version
       HAVING max(e.actual_version) > coalesce(p.version, 0) ORDER BY e.agent_id`,
    );
    return found.map(({ agent_id, latest, version }) => ({
      subject: String(agent_id),
      problem:
        version === null
          ? `Its current project is missing, though its events tell of version ${latest}.`
          : `Its current project is at version ${version}, though its events tell of version ${latest}.`,
      mend: () => raise(String(agent_id), Number(latest), clock),
    }));
  });
}

function* raise(agentId: string, version: number, clock: WallClock): Work<string> {
  yield* lockAgent(agentId);
  const raised = yield* rows(
    'UPDATE agent_projects SET version = ? WHERE agent_id = ? AND version < ? RETURNING agent_id',
    version,
    agentId,
    version,
  );
  if (raised.length > 0) return `It was raised to version ${version}.`;
  const [last] = yield* rows(
    `SELECT to_project, session_id FROM agent_project_events
     WHERE agent_id = ? AND success = 1 AND actual_version = ? ORDER BY id DESC LIMIT 1`,
    agentId,
    version,
  );
  const [project] = yield* rows('SELECT name FROM projects WHERE name = ?', last?.to_project ?? null);
  const name = textOf(project?.name);
  yield* rows(
    `INSERT INTO agent_projects (agent_id, project_name, version, updated_at, updated_by, session_id, change_id)
     VALUES (?, ?, ?, ?, 'doctor', ?, 'doctor') ON CONFLICT (agent_id) DO NOTHING`,
    agentId,
    name,
    version,
    yield* clock.now(),
    last?.session_id ?? 'doctor',
  );
  return `It was made anew with ${name === null ? 'no project' : `the project ${JSON.stringify(name)}`} at version ${version}.`;
}

/** Current projects of projects and sessions that there are not. */
function referenceCheck(storage: Storage, clock: WallClock): Check {
  return checkOf(storage, 'references', function* () {
    const projects = yield* rows(
      `SELECT agent_id, project_name, version FROM agent_projects AS a WHERE project_name IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM projects WHERE name = a.project_name) ORDER BY agent_id`,
    );
    const sessions = yield* rows(
      `SELECT agent_id, session_id, updated_at FROM agent_projects AS a
       WHERE NOT EXISTS (SELECT 1 FROM agent_sessions WHERE id = a.session_id) ORDER BY agent_id`,
    );
    return [
      ...projects.map((row) => ({
        subject: String(row.agent_id),
        problem: `Its current project ${JSON.stringify(row.project_name)} does not exist.`,
        mend: () => clearProject(row, clock),
      })),
      ...sessions.map((row) => ({
        subject: String(row.agent_id),
        problem: `The session ${row.session_id}, which has set its current project, does not exist.`,
        mend: () => restoreSession(row),
      })),
    ];
  });
}

/** As if the project had just been deleted: the version stays. */
function* clearProject({ agent_id, project_name, version }: Row, clock: WallClock): Work<string> {
  const [agentId, from] = [String(agent_id), String(project_name)];
  yield* lockAgent(agentId);
  const cleared = yield* rows(
    'UPDATE agent_projects SET project_name = NULL WHERE agent_id = ? AND project_name = ? RETURNING agent_id',
    agentId,
    from,
  );
  if (cleared.length === 0) return 'It was changed meanwhile.';
  yield* recordEvent({
    agentId,
    sessionId: null,
    type: 'project_cleared',
    from,
    actual: Number(version),
    metadata: { reason: 'project_missing', by: 'doctor' },
    at: yield* clock.now(),
  });
  return 'It now has none; its version stays.';
}

function* restoreSession({ agent_id, session_id, updated_at }: Row): Work<string> {
  yield* rows(
    `INSERT INTO agent_sessions (id, agent_id, started_at, last_active_at, expires_at, status, reason, metadata)
     VALUES (?, ?, ?, ?, ?, 'expired', 'lease', ?) ON CONFLICT (id) DO NOTHING`,
    session_id ?? null,
    agent_id ?? null,
    updated_at ?? null,
    updated_at ?? null,
    updated_at ?? null,
    JSON.stringify({ restored_by: 'doctor' }),
  );
  return 'It was made anew, as one that has expired.';
}

/** Entries that nobody counts; and, because people wonder, logs of projects that have been deleted. */
function logRowsCheck(storage: Storage): Check {
  return checkOf(storage, 'logs', function* () {
    const uncounted = yield* rows(
      'SELECT DISTINCT project FROM entries WHERE project NOT IN (SELECT project FROM metrics) ORDER BY project',
    );
    const kept = yield* rows(
      `SELECT project, entries FROM metrics WHERE entries > 0 AND project NOT IN (SELECT name FROM projects)
       ORDER BY project`,
    );
    return [
      ...uncounted.map(({ project }) => ({
        subject: String(project),
        problem: 'Its log has entries, but no counts.',
        mend: () => countAgain(String(project)),
      })),
      ...kept.map(({ project, entries }) => ({
        subject: String(project),
        problem: `The project is deleted; its log of ${entries} entries is kept.`,
      })),
    ];
  });
}

function* countAgain(project: string): Work<string> {
  const sums = entryStatuses.map((status) => `sum(CASE WHEN status = '${status}' THEN 1 ELSE 0 END)`);
  const [made] = yield* rows(
    `INSERT INTO metrics (project, entries, ${entryStatuses.join(', ')}, last_entry_at, head)
     SELECT project, max(line), ${sums.join(', ')}, max(ts),
       (SELECT sha256 FROM entries WHERE project = ? ORDER BY line DESC LIMIT 1)
     FROM entries WHERE project = ? GROUP BY project ON CONFLICT (project) DO NOTHING RETURNING entries`,
    project,
    project,
  );
  return made ? `They were counted: ${made.entries}.` : 'They were counted meanwhile.';
}

/** Whether the state file says what the database says. */
function mirrorCheck(mirror: StateMirror): Check {
  const name = 'state file';
  return {
    name,
    async run(repair) {
      const drift = await mirror.verify();
      if (drift.length > 0 && repair) await mirror.rebuild();
      const done = repair ? 'The state file was written anew.' : null;
      return drift.map(({ subject, problem }) => ({ check: name, subject, problem, repair: done }));
    },
  };
}

function timeOf(ms: unknown): string {
  return new Date(Number(ms)).toISOString();
}
