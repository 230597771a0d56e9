/** Mends the files of a log from its rows, and says so. */
import { StompError } from '../errors.js';
import type { StompGuard } from '../guard/index.js';
import type { Storage } from '../storage/storage.js';
import type { Check, Finding } from './check.js';
import { type AuditProblem, type AuditReport, auditLog, snapshotOf } from './log-audit.js';
import { remakeClosed } from './log-closed.js';
import { archivesOf } from './log-rows.js';
import type { LogWriter, Repairs } from './log-writer.js';
import type { ProgressLog } from './progress-log.js';
import type { Project } from './types.js';

/**
 * REQUIRES: the guard holds the lease on the file.
 * @throws StompError LOG_UNWRITABLE, LOG_CORRUPT, FENCED, DB_BUSY
 */
export async function repairLog(
  { storage, writer, now }: { storage: Storage; writer: LogWriter; now: () => number },
  project: Project,
  guard: StompGuard,
): Promise<Repairs> {
  const repairs = await writer.bring(project, guard);
  const { files, problems } = await auditLog(storage, project, await snapshotOf(storage, project));
  // From rows that were changed nothing is made.
  if (problems.some(({ file }) => file === null)) return repairs;
  const damaged = new Set(files.filter(({ whole }) => !whole).map(({ path }) => path));
  for (const archive of await storage.read(() => archivesOf(project.name))) {
    if (damaged.has(archive.path))
      repairs.push(...(await remakeClosed({ storage, now }, project, guard, archive)));
  }
  if (damaged.has(project.progress_log_path)) repairs.push(...(await writer.remake(project, guard)));
  return repairs;
}

const name = 'progress-log';

/** For the doctor: files that are missing, damaged or behind their rows. */
export function progressLogCheck(log: ProgressLog, projects: () => Promise<readonly Project[]>): Check {
  return {
    name,
    async run(repair) {
      const findings: Finding[] = [];
      for (const project of await projects()) findings.push(...(await checkLog(log, project, repair)));
      return findings;
    },
  };
}

async function checkLog(log: ProgressLog, project: Project, repair: boolean): Promise<Finding[]> {
  const before = await log.audit(project);
  if (before.ok || !repair) return before.problems.map((problem) => findingOf(before, problem, null));
  const done = await repaired(log, project);
  const after = await log.audit(project);
  const left = new Set(after.problems.map(keyOf));
  const known = new Set(before.problems.map(keyOf));
  const fresh = after.problems.filter((problem) => !known.has(keyOf(problem)));
  return [
    ...before.problems.map((problem) =>
      findingOf(before, problem, left.has(keyOf(problem)) ? null : done.text),
    ),
    ...[...fresh, ...done.problems].map((problem) => findingOf(after, problem, null)),
  ];
}

/** What was done, and what stood in the way of more. */
async function repaired(
  log: ProgressLog,
  project: Project,
): Promise<{ text: string; problems: AuditProblem[] }> {
  try {
    const { repairs } = await log.repair(project);
    return { text: repairs.join(' ') || 'Brought the file to its rows.', problems: [] };
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    const problem = { file: project.progress_log_path, line: null, problem: error.message };
    return { text: 'It was mended meanwhile.', problems: [problem] };
  }
}

function findingOf({ project }: AuditReport, problem: AuditProblem, repair: string | null): Finding {
  const at = problem.line === null ? '' : `, line ${problem.line}`;
  return {
    check: name,
    subject: `${project}: ${problem.file ?? 'the database'}${at}`,
    problem: problem.problem,
    repair,
  };
}

const keyOf = ({ file, line, problem }: AuditProblem) => JSON.stringify([file, line, problem]);
