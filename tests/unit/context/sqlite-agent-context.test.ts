import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sqliteDatabase } from '../../servers/databases.js';
import { agentContextSuite } from './agent-context.suite.js';
import { openContext } from './open-context.js';

agentContextSuite('on SQLite', sqliteDatabase);

it.each(['stomp.db', 'stomp.db-wal'])('no project has %s as its log', async (name) => {
  const { manager, folder } = await openContext({ roots: [] });
  const log = { name: 'P', root: folder, progressLogPath: name };
  const denied = { code: 'PATH_DENIED', fields: { file: join(folder, name) } };
  await expect(manager.createProject(log)).rejects.toMatchObject(denied);
});
