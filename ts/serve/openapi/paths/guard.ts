/** `/v1/locks`, `/v1/stomp/stats`, `/v1/docgen/status`. */
import type { Toolbox } from '../../../tools/toolbox.js';
import type { PathGroup } from '../operation.js';
import { object } from '../shapes.js';
import { callerHeaders, TOOL_ERRORS } from './tools.js';

/** REQUIRES: the toolbox holds the tools of the guard. */
export function guardPaths(tools: Toolbox): PathGroup {
  const looking = (summary: string, tool: string) => ({
    summary,
    description: `The tool \`${tool}\`.`,
    answers: { 200: { description: 'What there is', schema: object({}) } },
  });
  const acting = (summary: string, tool: string, status: number) => ({
    summary,
    description: `The tool \`${tool}\`.`,
    parameters: callerHeaders,
    body: { ...tools.get(tool).inputSchema },
    answers: { [status]: { description: 'What was done', schema: object({}) } },
    errors: TOOL_ERRORS,
  });
  return {
    tag: 'guard',
    description: 'Locks, and what became of them',
    errorShape: 'ToolError',
    paths: {
      '/v1/locks': {
        get: looking('List the locks that are held', 'locks'),
        post: acting('Acquire locks', 'lock_acquire', 201),
      },
      '/v1/locks/renew': { post: acting('Hold locks for longer', 'lock_renew', 200) },
      '/v1/locks/release': { post: acting('Release locks', 'lock_release', 200) },
      '/v1/stomp/stats': { get: looking('Show how often who waited', 'stomp_stats') },
      '/v1/docgen/status': { get: looking('Show which documents are generated', 'docgen_status') },
    },
  };
}
