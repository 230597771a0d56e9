import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isDeniedName, PathRules } from '../../../ts/clutch/paths.js';

describe('paths of a run', () => {
  let folder: string;
  let base: string;
  let rules: PathRules;
  beforeEach(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-paths-')));
    base = join(folder, 'base');
    mkdirSync(join(base, 'sub'), { recursive: true });
    writeFileSync(join(folder, 'notes.md'), 'notes');
    writeFileSync(join(folder, 'other.md'), 'other');
    rules = await PathRules.open({ baseDirs: [base], trackedFiles: [join(folder, 'notes.md')] });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const denied = (path: string) =>
    expect(rules.resolve(path, base)).rejects.toMatchObject({ code: 'PATH_DENIED' });

  it('are those below a base directory, there or not, and those of tracked files', async () => {
    expect(await rules.resolve('sub/new.txt', base)).toBe(join(base, 'sub/new.txt'));
    expect(await rules.resolve('.', base)).toBe(base);
    expect(await rules.resolve(join(folder, 'notes.md'), base)).toBe(join(folder, 'notes.md'));
  });

  it('are not those outside, however they are written', async () => {
    await denied('../other.md');
    await denied('sub/../../other.md');
    await denied(join(folder, 'other.md'));
    await denied(`${base}-2/x`);
    await denied('/etc/passwd');
  });

  it('are not links that lead outside, as files or as folders', async () => {
    symlinkSync(join(folder, 'other.md'), join(base, 'harmless.md'));
    symlinkSync(folder, join(base, 'up'));
    symlinkSync(join(folder, 'nowhere'), join(base, 'dangling'));
    await denied('harmless.md');
    await denied('up/other.md');
    await denied('dangling');
  });

  it('are not histories, under their own name or that of a link', async () => {
    writeFileSync(join(base, 'x_history.toml'), '');
    symlinkSync(join(base, 'x_history.toml'), join(base, 'plain.toml'));
    writeFileSync(join(base, 'plain.md'), '');
    symlinkSync(join(base, 'plain.md'), join(base, 'history.toml'));
    await denied('x_history.toml');
    await denied('plain.toml');
    await denied('history.toml');
    await denied('sub/HISTORY.toml');
  });

  it('are not secrets, nor what is in folders of secrets', async () => {
    for (const path of ['.env', '.env.local', 'sub/server.pem', 'id_rsa.pub', '.ssh/config', '.npmrc']) {
      await denied(path);
    }
    await expect(PathRules.open({ baseDirs: [base], trackedFiles: [join(base, '.netrc')] })).rejects.toThrow(
      'kept from runs',
    );
  });

  it('say which name it was', async () => {
    await expect(rules.resolve('.aws/config', base)).rejects.toThrow('such as ".aws" are kept from runs');
  });
});

it('keeps source files that only sound like secrets', () => {
  const fine = ['history.ts', 'environment.ts', 'credentials.ts', 'secrets.ts', 'keys.md', 'key', 'id.ts'];
  expect(fine.filter(isDeniedName)).toEqual([]);
});
