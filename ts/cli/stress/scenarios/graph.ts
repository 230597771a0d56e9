/** Agents add nodes of their own to one graph. */
import { GraphGuard } from '../../../guard/index.js';
import type { Counts, Scenario, Worker } from '../scenario.js';
import { guarded } from './guarded.js';

/** How many nodes this process has added, by graph. */
const added = new Map<string, number>();

export const graphScenario: Scenario = {
  name: 'graph',
  targets: ['graph-1', 'graph-2'],

  // A server keeps what earlier runs left; the names of the graphs are this run's own.
  prepare: async () => undefined,

  async change(worker, target) {
    const id = graphId(worker, target);
    const count = (added.get(target) ?? 0) + 1;
    const done = await guarded(
      worker,
      'graph',
      target,
      { resourceClass: 'MERGE_META', identifier: id },
      async () => {
        const { agentId, maxWaitMs, ttlMs } = worker;
        const graph = await GraphGuard.open(worker.maasl);
        const patch = { nodesToAdd: [{ id: `${agentId}/${count}` }], timestamp: count };
        await graph.merge(id, patch, { agentId, sessionId: agentId, maxWaitMs, ttlMs });
        return count;
      },
    );
    added.set(target, count);
    return done;
  },

  async counts(arena, target) {
    const graph = await GraphGuard.open(arena.maasl);
    const { nodes } = await graph.read(graphId(arena, target));
    const counts: Record<string, number> = {};
    for (const { id } of nodes) {
      const agent = id.slice(0, id.indexOf('/'));
      counts[agent] = (counts[agent] ?? 0) + 1;
    }
    return counts satisfies Counts;
  },
};

const graphId = ({ folder }: Worker, target: string) => `${folder}/${target}`;
