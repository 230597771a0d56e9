/**
 * An agent's current project has a version, and what agents did is in a log that anybody can search.
 *
 *   node docs/examples/context.mjs
 *
 * docs/context.md has sessions, the log file and the same by MCP, HTTP and on the command line.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextManager } from 'stomp-serve/context';

const folder = mkdtempSync(join(tmpdir(), 'stomp-example-'));
const context = await AgentContextManager.open({ database: join(folder, 'stomp.db'), roots: [folder] });
const { session_id: sessionId } = await context.startSession('ann');
const project = await context.createProject({ name: 'web' });

const set = await context.setCurrentProject('ann', 'web', { sessionId, expectedVersion: 0 });
console.log(`ann works on ${set.project}, version ${set.version}`);
await context
  .setCurrentProject('ann', null, { sessionId, expectedVersion: 0 }) // somebody who did not look
  .catch(({ code, fields }) => console.log(`${code}: expected ${fields.expected}, is ${fields.actual}`));

await context.appendEntry('The tests pass', {
  agentId: 'ann',
  sessionId,
  status: 'success',
  meta: { tests: 210 },
});
await context.appendEntry('The basket loses items', { agentId: 'ann', sessionId, status: 'bug' });
const { entries, total } = await context.queryEntries({ project: 'web', status: ['bug'] });
console.log(`${total} bug: ${entries[0].message}`);
console.log(
  `the file has ${readFileSync(project.progress_log_path, 'utf8').trim().split('\n').length - 1} entries`,
);
await context.close();
rmSync(folder, { recursive: true });
