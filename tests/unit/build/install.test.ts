import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../../..');
const install = join(root, 'scripts', 'install.mjs');
const emptyPath = mkdtempSync(join(tmpdir(), 'stomp-path-'));
symlinkSync(process.execPath, join(emptyPath, 'node'));

afterAll(() => rmSync(emptyPath, { recursive: true }));

function run(env: NodeJS.ProcessEnv) {
  const result = spawnSync(process.execPath, [install], {
    encoding: 'utf8',
    env: { ...process.env, npm_config_build_from_source: 'true', ...env },
  });
  return { status: result.status, lines: `${result.stdout}${result.stderr}`.trim().split('\n') };
}

describe('the install step', () => {
  it('succeeds with one line where there is no engine for the platform', () => {
    const { status, lines } = run({ STOMP_FORCE_PLATFORM: 'win32-x64', PATH: emptyPath });
    expect(status).toBe(0);
    expect(lines).toEqual([expect.stringContaining('no inference engine for win32-x64')]);
  });

  it('says everything that is missing at once, with the remedy', () => {
    const { status, lines } = run({ STOMP_FORCE_PLATFORM: 'linux-x64', PATH: emptyPath });
    expect(status).toBe(1);
    const text = lines.join('\n');
    expect(text).toContain('C++20 compiler');
    expect(text).toContain('cmake (3.22 or later)');
    expect(text).toContain('ninja or make');
    expect(text).toContain('apt-get install g++ cmake make');
  });

  it('has a remedy of its own on macOS', () => {
    const { status, lines } = run({ STOMP_FORCE_PLATFORM: 'darwin-arm64', PATH: emptyPath });
    expect(status).toBe(1);
    expect(lines.join('\n')).toContain('xcode-select --install');
  });

  it('names the compiler that was asked for when it is none', () => {
    const { status, lines } = run({ STOMP_FORCE_PLATFORM: 'linux-x64', CXX: 'false' });
    expect(status).toBe(1);
    expect(lines.join('\n')).toContain('CXX names "false"');
  });
});
