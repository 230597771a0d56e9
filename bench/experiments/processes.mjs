// An experiment runs in a process of its own, and so does each part of it that must find nothing in memory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { results } from '../child.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** No part takes so long, unless its threads wait for a processor that others use. */
const patienceMs = 1_200_000;

/**
 * @param {{ id: string, phase?: string, model: string, folder: string, threads: number }} task phase: none for the
 *   experiment itself; folder: its own, empty at first; more fields as a phase wants them
 * @returns {Promise<object>} what the experiment or its phase returned
 */
export async function inProcess(task) {
  // Conversations of many thousand tokens are too long for an argument.
  const scratch = mkdtempSync(join(tmpdir(), 'stomp-task-'));
  try {
    const path = join(scratch, 'task.json');
    writeFileSync(path, JSON.stringify(task));
    const args = [`${here}trial.mjs`, path];
    const found = await results(process.execPath, args, { cwd: here, timeoutMs: patienceMs });
    if (found.length !== 1) throw new Error(`EXP-${task.id} printed ${found.length} results instead of one`);
    return found[0];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
