/** What a command writes, read by somebody who takes his time. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { AgentContextManager } from '../../../ts/context/index.js';
import { main, temporaryFolder } from '../server-process.js';

const read = promisify(execFile);

it('reaches a slow reader to the end, and none is waited for who has gone', async () => {
  const root = temporaryFolder();
  const database = join(root, 'stomp.db');
  const manager = await AgentContextManager.open({ database, roots: [root] });
  await manager.createProject({ name: 'one' });
  const { session_id: sessionId } = await manager.startSession('ann');
  const messages = Array.from({ length: 100 }, () => 'x'.repeat(5000));
  await manager.appendEntry(messages, { agentId: 'ann', sessionId, project: 'one' });
  await manager.close();
  const log = '"$0" "$1" context log --database "$2" --roots "$3" --project one --page-size 200 --json';
  const piped = async (reader: string): Promise<string> =>
    (await read('sh', ['-c', `${log} | ${reader}`, process.execPath, main, database, root])).stdout;
  const slow = JSON.parse(await piped('(sleep 2; cat)')) as { entries: object[] };
  expect(slow.entries).toHaveLength(100);
  expect(await piped('head -n 1')).toBe('{\n');
});
