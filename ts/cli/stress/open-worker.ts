/** An agent's guards. */
import { FileGuard, Maasl } from '../../guard/index.js';
import type { WorkerSetup } from './protocol.js';
import type { Worker } from './scenario.js';

export async function openWorker(setup: WorkerSetup): Promise<{ worker: Worker; close(): Promise<void> }> {
  const maasl = await Maasl.open({ database: setup.database });
  const files = await FileGuard.open(maasl, { roots: [setup.folder] });
  return { worker: { ...setup, maasl, files }, close: () => maasl.close() };
}
