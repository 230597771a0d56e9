/** Finds what is derived from entries and does not agree with them, and derives it anew. */
import { StompError } from '../errors.js';
import { rows, type SqlValue, type Storage, type Work } from '../storage/storage.js';
import type { Check, Finding } from './check.js';
import { entryStatuses } from './entry.js';
import { entryOf } from './entry-rows.js';
import { addCounts, addTerms } from './query-derived.js';
import { fold } from './query-fold.js';
import { postgresTrigrams } from './query-schema.js';
import { eachBatch, keyOf, Survey, termsThere } from './query-survey.js';

const name = 'entry-index';

/**
 * Compares the figures of `metrics`, counts, terms, folded messages and the index of trigrams with the entries. A
 * project is looked at in one transaction; when it may be mended, nobody appends to it meanwhile.
 */
export function entryIndexCheck(storage: Storage): Check {
  return {
    name,
    run: async (repair) => {
      const findings: Finding[] = [];
      for (const project of await storage.read(projectsOf)) {
        const work = () => checkProject(project, repair);
        findings.push(...(await (repair ? storage.write(work) : storage.read(work))));
      }
      const trigrams = storage.dialect === 'sqlite' ? checkSqliteTrigrams : checkPostgresTrigrams;
      return [...findings, ...(await trigrams(storage, repair))];
    },
  };
}

/** All that any of the tables knows of. */
function* projectsOf(): Work<string[]> {
  const found = yield* rows(
    `SELECT project FROM entries UNION SELECT project FROM metrics UNION SELECT project FROM entry_counts
     UNION SELECT project FROM entry_terms`,
  );
  return found.map(({ project }) => String(project)).sort();
}

/** What is wrong with one thing, and what mends it. */
interface Drift {
  readonly problem: string;
  readonly repair: string;
  readonly mend: () => Work<void>;
}

function* checkProject(project: string, repair: boolean): Work<Finding[]> {
  // Whoever appends has this row.
  if (repair) yield* rows('UPDATE metrics SET entries = entries WHERE project = ?', project);
  const survey = new Survey(project);
  yield* survey.read();
  const drifts = [
    yield* metricsDrift(survey),
    yield* countsDrift(survey),
    yield* termsDrift(survey),
    foldedDrift(survey),
  ];
  const findings: Finding[] = [];
  for (const drift of drifts) {
    if (!drift) continue;
    if (repair) yield* drift.mend();
    const done = repair ? drift.repair : null;
    findings.push({ check: name, subject: `project ${project}`, problem: drift.problem, repair: done });
  }
  return findings;
}

const figures = ['entries', ...entryStatuses, 'last_entry_at', 'head'];

function* metricsDrift({ project, last, latestMs, statuses }: Survey): Work<Drift | undefined> {
  const sums = entryStatuses.map((status) => statuses.get(status) ?? 0);
  const expected: SqlValue[] = [last?.line ?? 0, ...sums, latestMs, last?.sha256 ?? ''];
  const [row] = yield* rows(`SELECT ${figures.join(', ')} FROM metrics WHERE project = ?`, project);
  // Without entries the head is whatever a new log begins with.
  const compared = last ? figures : figures.slice(0, -1);
  const wrong = compared.filter((figure, i) => !row || String(row[figure]) !== String(expected[i]));
  if (wrong.length === 0 || (!row && !last)) return undefined;
  return {
    problem: `The figures ${wrong.join(', ')} do not agree with its entries.`,
    repair: 'They were counted anew.',
    mend: function* () {
      const set = compared.map((figure) => `${figure} = excluded.${figure}`).join(', ');
      yield* rows(
        `INSERT INTO metrics (project, ${figures.join(', ')}) VALUES (?, ${figures.map(() => '?').join(', ')})
         ON CONFLICT (project) DO UPDATE SET ${set}`,
        project,
        ...expected,
      );
    },
  };
}

function* countsDrift({ project, counts }: Survey): Work<Drift | undefined> {
  const found = yield* rows(
    'SELECT project, facet, bucket, status, priority, emoji, n FROM entry_counts WHERE project = ?',
    project,
  );
  let right = 0;
  for (const { facet, bucket, status, priority, emoji, n } of found) {
    const count = counts.get(
      keyOf([project, String(facet), Number(bucket), String(status), String(priority), String(emoji)]),
    );
    if (count?.[6] === Number(n)) right++;
  }
  if (right === counts.size && right === found.length) return undefined;
  return {
    problem: `Of ${found.length} counts of entries, ${found.length - right} are wrong and ${counts.size - right} are missing.`,
    repair: 'The entries were counted anew.',
    mend: function* () {
      yield* rows('DELETE FROM entry_counts WHERE project = ?', project);
      yield* addCounts([...counts.values()]);
    },
  };
}

function* termsDrift({ project, terms }: Survey): Work<Drift | undefined> {
  if (String(yield* termsThere(project)) === String(terms)) return undefined;
  return {
    problem: 'The index of tags, meta and whole messages does not agree with its entries.',
    repair: 'It was made anew.',
    mend: function* () {
      yield* rows('DELETE FROM entry_terms WHERE project = ?', project);
      yield* eachBatch(project, (found) => addTerms(found.map(entryOf)));
    },
  };
}

function foldedDrift({ project, misfolded }: Survey): Drift | undefined {
  if (misfolded.length === 0) return undefined;
  return {
    problem: `The text to search is wrong in ${misfolded.length} entries, the first of them in line ${misfolded[0]?.line}.`,
    repair: 'It was derived from their messages.',
    mend: function* () {
      for (const { line, message } of misfolded)
        yield* rows(
          'UPDATE entries SET folded = ? WHERE project = ? AND line = ?',
          fold(message),
          project,
          line,
        );
    },
  };
}

const indexFinding = (problem: string, repair: string | null): Finding => ({
  check: name,
  subject: 'all projects',
  problem,
  repair,
});

/** After the texts have been mended, which the index does not hear of. */
async function checkSqliteTrigrams(storage: Storage, repair: boolean): Promise<Finding[]> {
  const command = (text: string) => `INSERT INTO entry_text (entry_text, rank) VALUES ('${text}', 1)`;
  try {
    await storage.write(() => rows(command('integrity-check')));
    return [];
  } catch (error) {
    if (
      !(error instanceof StompError) ||
      !String(error.fields.last_sqlite_error).startsWith('SQLITE_CORRUPT')
    )
      throw error;
  }
  if (repair) await storage.write(() => rows("INSERT INTO entry_text (entry_text) VALUES ('rebuild')"));
  const problem = 'The index of trigrams does not agree with the messages.';
  return [indexFinding(problem, repair ? 'It was made anew.' : null)];
}

/** The server keeps the index; it may have come too late for it. */
async function checkPostgresTrigrams(storage: Storage, repair: boolean): Promise<Finding[]> {
  const isLacking = function* () {
    const found = yield* rows(
      "SELECT 1 AS n FROM pg_extension WHERE extname = 'pg_trgm' AND to_regclass('entries_folded') IS NULL",
    );
    return found.length > 0;
  };
  if (!(await storage.read(isLacking))) return [];
  if (repair) await storage.write(() => rows(postgresTrigrams));
  return [
    indexFinding('There is no index of trigrams, although there could be.', repair ? 'It was made.' : null),
  ];
}
