/**
 * Fills prebuilds/<platform>-<arch>/ for this machine: the addon by prebuildify, and the MLX executor
 * with its libraries beside it, in the layout that build/Release has.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const cli = join(dirname(createRequire(import.meta.url).resolve('prebuildify/package.json')), 'bin.js');
const env = { ...process.env, npm_config_nodedir: join(root, 'cpp', 'deps', 'nodedir') };

const { status } = spawnSync(process.execPath, [cli, '--napi', '--strip'], {
  cwd: root,
  stdio: 'inherit',
  env,
});
if (status !== 0) process.exit(status ?? 1);

const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
const mlx = join(root, 'build', 'Release', 'mlx');
rmSync(join(folder, 'mlx'), { recursive: true, force: true });
if (existsSync(mlx)) cpSync(mlx, join(folder, 'mlx'), { recursive: true });
console.log(`stomp-serve: ${folder}`);
