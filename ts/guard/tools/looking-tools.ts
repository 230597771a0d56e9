/** What goes on at the guard, for people and agents who look. */
import { lookingTool, type Tool } from '../../tools/tool.js';
import type { GuardToolsOptions } from './guard-tools.js';

const nothing = { type: 'object', properties: {}, required: [], additionalProperties: false } as const;
const hints = { readOnly: true, destructive: false, idempotent: true } as const;

export function lookingTools({ maasl, files, docgen }: GuardToolsOptions): Tool[] {
  return [
    lookingTool({
      name: 'locks',
      title: 'Show locks',
      description: 'Who holds what and for how much longer, and who waits.',
      inputSchema: nothing,
      hints,
      run: async () => ({ locks: await maasl.locks.snapshot(), waiting: await maasl.locks.waiting() }),
    }),
    lookingTool({
      name: 'stomp_stats',
      title: 'Show figures of the guard',
      description: 'How often what has happened in this server, and how each resource class is guarded.',
      inputSchema: nothing,
      hints,
      run: async () => {
        const { policy, locks, telemetry, storage } = maasl;
        return {
          enabled: policy.enabled,
          backend: locks.backend,
          database: storage?.name ?? null,
          roots: files.roots,
          held: (await locks.snapshot()).length,
          waiting: (await locks.waiting()).length,
          events: telemetry.counts(),
          resource_classes: policy.classes().map((one) => ({
            name: one.name,
            concurrency: one.concurrency,
            scope: one.scope,
            prefix: one.prefix,
            strategy: one.strategy,
            lease_ttl_ms: one.leaseTtlMs,
            interactive_max_wait_ms: one.interactiveMaxWaitMs,
            batch_max_wait_ms: one.batchMaxWaitMs,
          })),
        };
      },
    }),
    lookingTool({
      name: 'docgen_status',
      title: 'Show the docs that were made',
      description: 'The last operations of the docgen guard, latest first.',
      inputSchema: nothing,
      hints,
      run: async () => ({ operations: ((await docgen?.status()) ?? []).toReversed() }),
    }),
  ];
}
