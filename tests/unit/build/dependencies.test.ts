import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cached, pins } from '../../../cpp/deps/fetch.mjs';
import { atLeast } from '../../../scripts/native/platform.mjs';

const root = resolve(import.meta.dirname, '../../..');
const fetch = join(root, 'cpp', 'deps', 'fetch.mjs');
let cache: string;
let saved: string | undefined;

beforeEach(() => {
  saved = process.env['XDG_CACHE_HOME'];
  cache = mkdtempSync(join(tmpdir(), 'stomp-deps-'));
  process.env['XDG_CACHE_HOME'] = cache;
});

afterEach(() => {
  if (saved === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = saved;
  rmSync(cache, { recursive: true });
});

const entries = () => readdirSync(join(cache, 'stomp-serve', 'deps'));

describe('the cache of native dependencies', () => {
  it('fills an entry once', () => {
    let fills = 0;
    const fill = (staging: string) => {
      fills++;
      writeFileSync(join(staging, 'file'), 'content');
    };
    const folder = cached('thing-1', fill);
    expect(cached('thing-1', fill)).toBe(folder);
    expect(fills).toBe(1);
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('content');
  });

  it('keeps nothing of an entry that could not be filled', () => {
    expect(() =>
      cached('thing-1', (staging: string) => {
        writeFileSync(join(staging, 'half'), '');
        throw new Error('no network');
      }),
    ).toThrow('no network');
    expect(entries()).toEqual([]);
  });

  it('lets the entry of a faster build stand', () => {
    const folder = cached('thing-1', (staging: string) => {
      writeFileSync(join(staging, 'by'), 'the slow one');
      cached('thing-1', (other: string) => writeFileSync(join(other, 'by'), 'the fast one'));
    });
    expect(readFileSync(join(folder, 'by'), 'utf8')).toBe('the fast one');
    expect(entries()).toEqual(['thing-1']);
  });

  it('survives processes that fetch at once', async () => {
    const script =
      `import { cached } from ${JSON.stringify(fetch)};` +
      `import { writeFileSync } from 'node:fs';` +
      `const f = cached('shared', (s) => { for (let i = 0; i < 300; i++) writeFileSync(s + '/' + i, '' + i); });` +
      `console.log(f);`;
    const children = [1, 2, 3].map(() => spawn(process.execPath, ['--input-type=module', '-e', script]));
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    expect(codes).toEqual([0, 0, 0]);
    expect(entries()).toEqual(['shared']);
    expect(readdirSync(join(cache, 'stomp-serve', 'deps', 'shared'))).toHaveLength(300);
  });
});

describe('fetching', () => {
  // Stands in for python3: `pip download` leaves a file that is not the pinned one.
  function fakePython(body: string): string {
    const path = join(cache, 'python');
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  const run = (env: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, [fetch], {
      encoding: 'utf8',
      env: { ...process.env, CARGO_HOME: cache, CARGO_NET_OFFLINE: 'true', ...env },
    });

  it('refuses an archive that is not the pinned one, and keeps nothing of it', () => {
    const python = fakePython(
      'while [ $# -gt 0 ]; do [ "$1" = --dest ] && mkdir -p "$2" && echo bad > "$2/x.whl"; shift; done',
    );
    const probe = `import { fetchMlx } from ${JSON.stringify(fetch)}; fetchMlx();`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', probe], {
      encoding: 'utf8',
      env: { ...process.env, PYTHON: python },
    });
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/has SHA-256 [0-9a-f]{64}, pinned is [0-9a-f]{64}/);
    expect(entries()).toEqual([]);
  });

  it('says in one line what is missing, for each reason', () => {
    expect(run({ STOMP_SKIP_MLX: '1' }).stderr).toBe('stomp-serve: STOMP_SKIP_MLX=1 asked for it\n');
    const noCargo = run({ PATH: cache, PYTHON: fakePython('exit 0') });
    expect(noCargo.status).toBe(1);
    expect(noCargo.stderr).toContain('cargo was not found');
    expect(existsSync(join(cache, 'stomp-serve', 'deps', 'mlx-c'))).toBe(false);
  });
});

describe('the pins', () => {
  it('name every platform that has the engine, with a hash each', () => {
    const platforms = new Set(pins.mlx.wheels.map((wheel: { on: string }) => wheel.on));
    expect([...platforms].sort()).toEqual(['darwin-arm64', 'linux-arm64', 'linux-x64']);
    for (const { sha256 } of [...pins.mlx.wheels, pins.mlxC]) expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it('lock every npm package by hash and none by address', () => {
    const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    const installed = Object.entries<{ resolved?: string; integrity?: string }>(packages).slice(1);
    expect(installed.length).toBeGreaterThan(100);
    for (const [path, entry] of installed) {
      expect(entry.resolved, path).toBeUndefined();
      expect(entry.integrity, path).toMatch(/^sha512-/);
    }
  });

  it('compare versions by their numbers', () => {
    expect(atLeast('2.36', '2.35')).toBe(true);
    expect(atLeast('2.35', '2.35')).toBe(true);
    expect(atLeast('2.9', '2.35')).toBe(false);
    expect(atLeast('3', '2.35')).toBe(true);
    expect(atLeast('2', '2.35')).toBe(false);
  });
});
