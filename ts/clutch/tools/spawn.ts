/** A run that begins another, which starts empty: it knows what it is given here, and nothing of this conversation. */
import { text } from '../../tools/shapes.js';
import { defineTool } from './define-tool.js';
import type { Outcome, RunTool, ToolScope } from './run-tool.js';

export const spawnName = 'spawn_run';

export interface SpawnRequest {
  readonly role: string;
  readonly prompt: string;
  readonly contextMd: string;
}

/** @param spawn begins the run that belongs to the call, or finds it, and waits for its end */
export function spawnTool(spawn: (request: SpawnRequest, scope: ToolScope) => Promise<Outcome>): RunTool {
  const tool = defineTool({
    name: spawnName,
    description:
      'Gives a part of the task to a worker of its own, waits for it, and gives its last words. The worker knows only what you write here.',
    parameters: {
      type: 'object',
      properties: {
        role: text('What the worker is, such as "tester". Default: worker'),
        prompt: text('Its task, complete'),
        context_md: text('What it has to know, as Markdown. Default: nothing'),
      },
      required: ['prompt'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async ({ role = 'worker', prompt, context_md = '' }) => ({ role, prompt, context_md }),
    preview: async ({ role }) => ({ title: `Begin a run as ${role}` }),
    run: ({ role = 'worker', prompt, context_md: contextMd = '' }, scope) =>
      spawn({ role, prompt, contextMd }, scope),
  });
  return { ...tool, repeatable: true };
}
