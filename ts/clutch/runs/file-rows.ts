/** The files that a model was given, as rows: how they were then, and at the last look. */
import { rows, type Work } from '../../storage/storage.js';
import type { TrackedFile } from '../refresh.js';

export function* insertFiles(runId: string, files: readonly TrackedFile[]): Work<void> {
  for (const [position, { path, given, latest, stamp }] of files.entries()) {
    yield* rows(
      'INSERT INTO clutch_files (run_id, position, path, given, latest, stamp) VALUES (?, ?, ?, ?, ?, ?)',
      runId,
      position,
      path,
      JSON.stringify(given),
      JSON.stringify(latest),
      stamp,
    );
  }
}

export function* filesOf(runId: string): Work<TrackedFile[]> {
  const found = yield* rows('SELECT * FROM clutch_files WHERE run_id = ? ORDER BY position', runId);
  return found.map((row) => ({
    path: String(row.path),
    given: JSON.parse(String(row.given)),
    latest: JSON.parse(String(row.latest)),
    stamp: String(row.stamp),
  }));
}

/** What was seen at the last look. */
export function* updateFiles(
  runId: string,
  before: readonly TrackedFile[],
  after: readonly TrackedFile[],
): Work<void> {
  for (const [position, file] of after.entries()) {
    if (file === before[position]) continue;
    yield* rows(
      'UPDATE clutch_files SET latest = ?, stamp = ? WHERE run_id = ? AND position = ?',
      JSON.stringify(file.latest),
      file.stamp,
      runId,
      position,
    );
  }
}
