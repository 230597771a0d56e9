/** One agent of a stress run, in a process of its own: changes targets until it is told to stop or killed. */
import { StompError } from '../../errors.js';
import { openWorker } from './open-worker.js';
import type { FromWorker, ToWorker, WorkerSetup } from './protocol.js';
import type { Scenario, Worker } from './scenario.js';
import { scenarios } from './scenarios/index.js';

const expected = new Set([
  'RESOURCE_BUSY',
  'LEASE_LOST',
  'FENCED',
  'DB_BUSY',
  'STALE_VERSION',
  'DOCGEN_STALE',
]);

/** Resolves when the parent has it: what is told counts, even if this process is killed right after. */
function tell(message: FromWorker): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

async function change(worker: Worker, scenario: Scenario): Promise<void> {
  const target = pick(scenario.targets);
  try {
    await tell({ kind: 'done', done: await scenario.change(worker, target) });
  } catch (error) {
    const name = scenario.name;
    const code = error instanceof StompError ? error.code : '';
    if (expected.has(code)) await tell({ kind: 'refused', scenario: name, code });
    else await tell({ kind: 'failed', scenario: name, message: String((error as Error)?.stack ?? error) });
  }
}

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}

async function main(): Promise<void> {
  const setup = JSON.parse(process.argv[2] ?? '{}') as WorkerSetup;
  const { worker, close } = await openWorker(setup);
  let stopped = false;
  const go = new Promise<void>((resolve) => {
    process.on('message', (message: ToWorker) => {
      if (message === 'stop') stopped = true;
      resolve();
    });
  });
  // Ctrl-C reaches the whole group; the parent says when to stop.
  process.on('SIGINT', () => undefined);
  // The parent is gone.
  const orphaned = () => process.exit(1);
  process.on('disconnect', orphaned);
  await tell({ kind: 'ready' });
  await go;
  const chosen = setup.scenarios.map((name) => scenarios[name]);
  while (!stopped) await change(worker, pick(chosen));
  await close();
  process.off('disconnect', orphaned);
  process.disconnect?.();
}

await main();
