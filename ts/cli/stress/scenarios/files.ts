/** Agents count in one file: each reads it, adds one to its own number, and writes it back. */
import { join } from 'node:path';
import type { Counts, Scenario, Worker } from '../scenario.js';
import { guarded } from './guarded.js';

const fileOf = ({ folder }: Pick<Worker, 'folder'>, target: string) => join(folder, target);

export const filesScenario: Scenario = {
  name: 'files',
  targets: ['counts-1.json', 'counts-2.json', 'counts-3.json'],

  async prepare(arena) {
    for (const target of filesScenario.targets) {
      await arena.files.write(fileOf(arena, target), '{}', {}, { agentId: 'prepare', sessionId: 'prepare' });
    }
  },

  change(worker, target) {
    const identifier = fileOf(worker, target);
    return guarded(worker, 'files', target, { resourceClass: 'CRIT_CODE', identifier }, () =>
      countInFile(worker, identifier),
    );
  },

  counts: (arena, target) => countsIn(arena, fileOf(arena, target)),
};

/** @returns the agent's new count. The caller holds the file. */
export async function countInFile(worker: Worker, path: string): Promise<number> {
  const { agentId, maxWaitMs, ttlMs } = worker;
  const counts = { ...(await countsIn(worker, path)) };
  const count = (counts[agentId] ?? 0) + 1;
  counts[agentId] = count;
  await worker.files.write(
    path,
    JSON.stringify(counts),
    {},
    { agentId, sessionId: agentId, maxWaitMs, ttlMs },
  );
  return count;
}

export async function countsIn({ files, agentId, maxWaitMs, ttlMs }: Worker, path: string): Promise<Counts> {
  const { content } = await files.read(path, {}, { agentId, sessionId: agentId, maxWaitMs, ttlMs });
  return JSON.parse(content) as Counts;
}
