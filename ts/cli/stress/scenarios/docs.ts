/** Agents count in a source file and generate a document from it, each for itself. */
import { join } from 'node:path';
import { DocgenGuard, DocgenStaleError } from '../../../guard/index.js';
import type { Counts, Scenario, Worker } from '../scenario.js';
import { countInFile } from './files.js';
import { guarded } from './guarded.js';

const sourceOf = ({ folder }: Worker, target: string) => join(folder, target);
const documentOf = (target: string) => target.replace(/json$/, 'md');

export const docsScenario: Scenario = {
  name: 'docs',
  targets: ['docs-1.json', 'docs-2.json'],

  async prepare(arena) {
    for (const target of docsScenario.targets) {
      await arena.files.write(
        sourceOf(arena, target),
        '{}',
        {},
        { agentId: 'prepare', sessionId: 'prepare' },
      );
    }
  },

  async change(worker, target) {
    const identifier = sourceOf(worker, target);
    const done = await guarded(worker, 'docs', target, { resourceClass: 'CRIT_CODE', identifier }, () =>
      countInFile(worker, identifier),
    );
    // While others go on counting it may never be up to date; whoever comes last makes it so.
    await generate(worker, target).catch((error: unknown) => {
      if (!(error instanceof DocgenStaleError)) throw error;
    });
    return done;
  },

  async counts(arena, target) {
    await generate(arena, target);
    const call = { agentId: arena.agentId, sessionId: arena.agentId, ttlMs: arena.ttlMs };
    const { content } = await arena.files.read(join(arena.folder, documentOf(target)), {}, call);
    return JSON.parse(content.slice(content.indexOf('\n'))) as Counts;
  },
};

async function generate(
  { maasl, files, folder, agentId, maxWaitMs, ttlMs }: Worker,
  target: string,
): Promise<void> {
  const docs = await DocgenGuard.open(maasl, files);
  const request = { repo: folder, source: target, target: documentOf(target) };
  await docs.generate(request, (source) => source, { agentId, sessionId: agentId, maxWaitMs, ttlMs });
}
