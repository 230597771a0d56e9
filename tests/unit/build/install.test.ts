import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { nativeSources } from '../../../scripts/native/freshness.mjs';
import { darwinMajor } from '../../../scripts/native/platform.mjs';

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

describe('what is built from', () => {
  it('is all that the package brings to be built', () => {
    const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
    const sources = files.filter((path) => /^(cpp|metal|cuda|CMakeLists|binding|scripts\/build)/.test(path));
    expect(sources).toHaveLength(6);
    expect(nativeSources).toEqual(expect.arrayContaining(sources));
    for (const path of nativeSources) expect(existsSync(join(root, path)), path).toBe(true);
  });

  it('is as well what the build imports', () => {
    const imported = ['scripts/build-native.mjs', 'cpp/deps/fetch.mjs'].flatMap((path) =>
      [...readFileSync(join(root, path), 'utf8').matchAll(/from '[^']*\/native\/([\w-]+\.mjs)'/g)].map(
        ([, name]) => `scripts/native/${name}`,
      ),
    );
    expect(imported.length).toBeGreaterThan(4);
    expect(nativeSources).toEqual(expect.arrayContaining(imported));
  });

  it.each([
    ['14.0', 23],
    ['15.0', 24],
    ['26.0', 25],
  ])('is, of a prebuild for macOS %s, the MLX of Darwin %i', (target, darwin) => {
    vi.stubEnv('STOMP_PORTABLE', '1');
    vi.stubEnv('MACOSX_DEPLOYMENT_TARGET', target);
    expect(darwinMajor()).toBe(darwin);
    // Where nothing is made for others it is what some other program has set.
    vi.stubEnv('STOMP_PORTABLE', '');
    vi.stubEnv('MACOSX_DEPLOYMENT_TARGET', '10.13');
    expect(darwinMajor()).toBeGreaterThan(22);
    vi.unstubAllEnvs();
  });
});

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
