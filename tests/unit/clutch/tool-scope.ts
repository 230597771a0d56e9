/** What a tool of a run works with, over a folder and a database of its own, for one test. */

import { PathRules } from '../../../ts/clutch/paths.js';
import type { Outcome, RunTool, ToolScope } from '../../../ts/clutch/tools/run-tool.js';
import { openGuard } from '../guard/open-guard.js';

/** @param signal aborts the run */
export async function openScope(signal: AbortSignal = new AbortController().signal) {
  const guard = await openGuard();
  const paths = await PathRules.open({ baseDirs: [guard.root] });
  const scope: ToolScope = {
    runId: 'run-1',
    agentId: 'ann',
    sessionId: 'ann-1',
    baseDir: guard.root,
    paths,
    signal,
  };
  return { ...guard, scope };
}

/** As a run does it with a call that nobody changes. */
export async function call(tool: RunTool, args: object, scope: ToolScope): Promise<Outcome> {
  return tool.run(await tool.prepare(args, scope), scope);
}

export function named(tools: readonly RunTool[], name: string): RunTool {
  const found = tools.find((tool) => tool.name === name);
  if (!found) throw new Error(`There is no tool ${name}.`);
  return found;
}
