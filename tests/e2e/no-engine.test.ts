/** The package on a machine where its addon was never built. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const copy = mkdtempSync(join(tmpdir(), 'stomp-no-engine-'));
const home = join(copy, 'home');

beforeAll(() => {
  for (const part of ['dist', 'config', 'package.json'])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rmSync(copy, { recursive: true }));

function run(...args: string[]) {
  return spawnSync(process.execPath, args, {
    cwd: copy,
    encoding: 'utf8',
    env: { ...process.env, HOME: home },
    timeout: 60_000,
  });
}

describe('without the native engine', () => {
  it('serve says so before it brings a model', () => {
    const { status, stderr } = run('dist/cli/main.js', 'serve', '--port', '0');
    expect(status).toBe(1);
    expect(stderr).toContain('The inference engine is not available on');
    // An installed package has no scripts of a clone.
    expect(stderr).toContain('npm rebuild stomp-serve --build-from-source');
    expect(stderr).not.toContain('build:native');
    expect(existsSync(join(home, '.stomp-serve', 'models'))).toBe(false);
  });

  it('the package can be imported all the same', () => {
    const script = "import('stomp-serve').then(({ Engine }) => console.log(typeof Engine.load))";
    const { stdout } = run('--input-type=module', '-e', script);
    expect(stdout.trim()).toBe('function');
  });
});
