/** Which executor computes. There is no fallback: what was asked for is used, or the reason it cannot is told. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StompError } from '../errors.js';
import { mlxLibraryPath } from '../native.js';
import type { FullEngineOptions } from './engine-options.js';

export interface ExecutorChoice {
  executor: 'cpu' | 'mlx';
  /** Path of the MLX executor's library; empty for the CPU. */
  mlxLibrary: string;
}

export interface ExecutorHost {
  platform: NodeJS.Platform;
  mlxLibrary: () => string | undefined;
  /** Why the build left the MLX executor out, if it said so. */
  skipReason: () => string | undefined;
}

const thisHost: ExecutorHost = {
  platform: process.platform,
  mlxLibrary: mlxLibraryPath,
  skipReason: () => {
    const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
    const note = join(root, 'build', 'Release', 'mlx', 'SKIPPED.txt');
    return existsSync(note) ? readFileSync(note, 'utf8').trim() : undefined;
  },
};

/** @throws StompError EXECUTOR_UNAVAILABLE */
export function chooseExecutor(
  asked: FullEngineOptions['executor'],
  host: ExecutorHost = thisHost,
): ExecutorChoice {
  const executor = asked === 'auto' ? (host.platform === 'darwin' ? 'mlx' : 'cpu') : asked;
  if (executor === 'cpu') return { executor, mlxLibrary: '' };
  const mlxLibrary = host.mlxLibrary();
  if (mlxLibrary !== undefined) return { executor, mlxLibrary };
  const reason = host.skipReason() ?? 'its library was not built';
  throw new StompError(
    'EXECUTOR_UNAVAILABLE',
    `The MLX executor is not available: ${reason.replace(/\.$/, '')}. ` +
      "Run `npm run build:native`, or choose executor 'cpu'.",
    { fields: { field: 'executor', value: asked, reason } },
  );
}
