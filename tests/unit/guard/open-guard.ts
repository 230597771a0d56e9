/** A guard over a folder and a database of its own, for one test. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { FileGuard } from '../../../ts/guard/files.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { guardTools } from '../../../ts/guard/tools/guard-tools.js';
import { type Fault, Toolbox } from '../../../ts/tools/toolbox.js';

export interface OpenGuard {
  readonly folder: string;
  /** The one folder in which files may be changed. */
  readonly root: string;
  readonly database: string;
  readonly maasl: Maasl;
  readonly files: FileGuard;
  readonly tools: Toolbox;
  readonly faults: Fault[];
}

const open: OpenGuard[] = [];
afterEach(async () => {
  for (const { maasl, folder } of open.splice(0)) {
    await maasl.close();
    rmSync(folder, { recursive: true });
  }
});

/** Nobody waits for a file unless it is in a batch. */
export async function openGuard(options: { maxFileBytes?: number } = {}): Promise<OpenGuard> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-guard-')));
  const root = join(folder, 'root');
  const database = join(folder, 'stomp.db');
  mkdirSync(root);
  const maasl = await Maasl.open({
    database,
    maasl: { resource: { CRIT_CODE: { interactive_max_wait_ms: 0, batch_max_wait_ms: 2000 } } },
  });
  const files = await FileGuard.open(maasl, { roots: [root], ...options });
  const faults: Fault[] = [];
  const tools = new Toolbox([guardTools({ maasl, files })], { onFault: (fault) => faults.push(fault) });
  const guard = { folder, root, database, maasl, files, tools, faults };
  open.push(guard);
  return guard;
}
