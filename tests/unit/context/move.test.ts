import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AgentContextManager, moveContext } from '../../../ts/context/index.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-move-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('a context that was moved goes on where it was', async () => {
  const [from, to] = [join(folder, 'a.db'), join(folder, 'b.db')];
  const before = await AgentContextManager.open({ database: from });
  await before.createProject({ name: 'P', root: folder });
  await before.startSession('A', { sessionId: 'a1' });
  await before.setCurrentProject('A', 'P', { sessionId: 'a1' });
  await before.appendEntry(['one', 'two'], { agentId: 'A', sessionId: 'a1' });
  await before.close();
  const { tables } = await moveContext(from, to);
  expect(tables.find(({ table }) => table === 'entries')).toMatchObject({ rows: 2 });
  const after = await AgentContextManager.open({ database: to });
  await after.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 1 });
  const { entries } = await after.appendEntry('three', { agentId: 'A', sessionId: 'a1' });
  expect(entries).toMatchObject([{ line: 3 }]);
  expect(await after.audit()).toMatchObject([{ ok: true, lines: 3 }]);
  expect(await after.doctor()).toMatchObject({ ok: true });
  await after.close();
});

it('from nowhere nothing is moved, and nothing made', async () => {
  const [from, to] = [join(folder, 'a.db'), join(folder, 'b.db')];
  await expect(moveContext(from, to)).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
    fields: { field: 'from' },
  });
  await expect(moveContext('', to)).rejects.toMatchObject({ fields: { field: 'from' } });
  expect([from, to].map((file) => existsSync(file))).toEqual([false, false]);
});
