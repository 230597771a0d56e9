/** Files that nobody gets to see, although they lie in a root. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileGuard } from '../../../ts/guard/files.js';
import { Maasl } from '../../../ts/guard/maasl.js';

const call = { agentId: 'ann', sessionId: 's1' };
let root: string;
let maasl: Maasl;
let files: FileGuard;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stomp-denied-'));
  mkdirSync(join(root, 'state'));
  writeFileSync(join(root, 'state', 'approver-token'), 'sesame');
  writeFileSync(join(root, 'state', 'other'), 'x');
  symlinkSync(join(root, 'state', 'approver-token'), join(root, 'link'));
  maasl = await Maasl.open({ database: join(root, 'stomp.db') });
  files = await FileGuard.open(maasl, { roots: [root], denied: [join(root, 'state', 'approver-token')] });
});
afterEach(async () => {
  await maasl.close();
  rmSync(root, { recursive: true });
});

it.each(['state/approver-token', 'link', 'state/../state/approver-token'])(
  'are neither read nor written nor moved: %s',
  async (path) => {
    const file = join(root, path);
    const denied = { code: 'PATH_DENIED' };
    await expect(files.read(file, {}, call)).rejects.toMatchObject(denied);
    await expect(files.write(file, 'mine', {}, call)).rejects.toMatchObject(denied);
    await expect(files.move(file, join(root, 'taken'), {}, call)).rejects.toMatchObject(denied);
    await expect(files.delete(file, {}, call)).rejects.toMatchObject(denied);
    await expect(
      files.move(join(root, 'state', 'other'), file, { overwrite: true }, call),
    ).rejects.toMatchObject(denied);
    expect(readFileSync(join(root, 'state', 'approver-token'), 'utf8')).toBe('sesame');
  },
);

it('do not come into sight with the folder that they lie in', async () => {
  const folder = join(root, 'state');
  await expect(files.move(folder, join(root, 'moved'), {}, call)).rejects.toMatchObject({
    code: 'PATH_DENIED',
  });
  await expect(files.delete(folder, { recursive: true }, call)).rejects.toMatchObject({
    code: 'PATH_DENIED',
  });
  expect((await files.read(join(folder, 'other'), {}, call)).content).toBe('x');
});
