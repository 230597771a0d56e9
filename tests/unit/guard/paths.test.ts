import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { canonicalPath } from '../../../ts/paths.js';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return { ...real, realpath: vi.fn(real.realpath) };
});

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-paths-')));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** As if somebody made it just after it was looked up in vain. */
function madeMeanwhile(make: () => void): void {
  vi.mocked(realpath).mockImplementationOnce(() => {
    make();
    return Promise.reject(Object.assign(new Error('gone'), { code: 'ENOENT' }));
  });
}

describe('canonicalPath', () => {
  it('takes a file or folder that another process makes meanwhile for what it is', async () => {
    const file = join(folder, 'LOG.md');
    madeMeanwhile(() => writeFileSync(file, ''));
    expect(await canonicalPath(file)).toBe(file);
    const inside = join(folder, 'a');
    madeMeanwhile(() => mkdirSync(inside));
    expect(await canonicalPath(inside)).toBe(inside);
  });

  it('refuses a link that leads nowhere, and what would lie behind it', async () => {
    const link = join(folder, 'link');
    symlinkSync(join(folder, 'nothing'), link);
    for (const path of [link, join(link, 'file')])
      await expect(canonicalPath(path)).rejects.toMatchObject({ code: 'PATH_DENIED' });
  });
});
