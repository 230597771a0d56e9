/** A context over a folder and a database of its own, for one test. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { AgentContextManager } from '../../../ts/context/agent-context-manager.js';
import type { AgentContextOptions } from '../../../ts/context/context-parts.js';
import { contextTools } from '../../../ts/context/tools/context-tools.js';
import { type Fault, Toolbox } from '../../../ts/tools/toolbox.js';

export interface OpenContext {
  readonly folder: string;
  /** The one folder that projects may lie in. */
  readonly root: string;
  readonly manager: AgentContextManager;
  readonly tools: Toolbox;
  readonly faults: Fault[];
}

const open: OpenContext[] = [];
afterEach(async () => {
  for (const { manager, folder } of open.splice(0)) {
    await manager.close();
    rmSync(folder, { recursive: true });
  }
});

export async function openContext(options: Partial<AgentContextOptions> = {}): Promise<OpenContext> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-context-')));
  const root = join(folder, 'root');
  mkdirSync(root);
  const manager = await AgentContextManager.open({
    database: join(folder, 'stomp.db'),
    roots: [root],
    cleanUpMs: 0,
    ...options,
  });
  const faults: Fault[] = [];
  const tools = new Toolbox([contextTools(manager)], { onFault: (fault) => faults.push(fault) });
  const context = { folder, root, manager, tools, faults };
  open.push(context);
  return context;
}
