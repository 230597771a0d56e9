import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { mlxLibraryPath } from '../../../ts/native.js';

const root = resolve(import.meta.dirname, '../../..');
const moved = mkdtempSync(join(tmpdir(), 'stomp-moved-'));
const built = join(root, 'build', 'Release');

afterAll(() => rmSync(moved, { recursive: true }));

/** Which files a library needs that are not found, and where those of ours are found. */
function needed(library: string): { missing: string[]; ours: string[] } {
  const { stdout } = spawnSync('ldd', [library], { encoding: 'utf8' });
  const lines = stdout.split('\n').map((line) => line.trim());
  return {
    missing: lines.filter((line) => line.includes('not found')),
    ours: lines.filter((line) => /mlx|blas|lapack|gfortran/.test(line)),
  };
}

describe.runIf(process.platform === 'linux')('the build products', () => {
  it('run from another folder', () => {
    cpSync(join(built, 'stomp_serve.node'), join(moved, 'stomp_serve.node'));
    const script = `console.log(require(${JSON.stringify(join(moved, 'stomp_serve.node'))}).version)`;
    const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it.runIf(mlxLibraryPath() !== undefined)('find MLX beside them and nowhere else', () => {
    const library = mlxLibraryPath() ?? '';
    cpSync(dirname(library), join(moved, 'mlx'), { recursive: true });
    const { missing, ours } = needed(join(moved, 'mlx', 'libstomp_mlx.so'));
    expect(missing).toEqual([]);
    expect(ours.length).toBeGreaterThan(2);
    for (const line of ours) expect(line).toContain(`=> ${moved}/mlx/`);
  });

  it('say why there is no MLX executor when there is none', () => {
    const mlx = join(built, 'mlx');
    expect(existsSync(join(mlx, 'SKIPPED.txt'))).toBe(mlxLibraryPath() === undefined);
  });
});
