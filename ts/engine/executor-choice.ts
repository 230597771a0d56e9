/** Which executor computes. There is no fallback: what was asked for is used, or the reason it cannot is told. */
import { StompError } from '../errors.js';
import { buildCommand, mlxSkipReason, shippedMlx, thisHome } from '../mlx-home.js';
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
  /** Whether `stomp-serve setup mlx` can bring what is missing. */
  canSetUp: () => boolean;
}

const thisHost: ExecutorHost = {
  platform: process.platform,
  mlxLibrary: mlxLibraryPath,
  skipReason: () => mlxSkipReason(thisHome),
  canSetUp: () => shippedMlx(thisHome) !== undefined,
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
  throw missing(asked, host);
}

function missing(asked: string, host: ExecutorHost): StompError {
  const canSetUp = host.canSetUp();
  const told = host.skipReason() ?? (canSetUp ? 'MLX has not been brought yet' : 'its library was not built');
  const reason = told.replace(/\.$/, '');
  const remedy = canSetUp ? 'npx stomp-serve setup mlx' : buildCommand(thisHome);
  return new StompError(
    'EXECUTOR_UNAVAILABLE',
    `The MLX executor is not available: ${reason}. Run \`${remedy}\`, or choose executor 'cpu'.`,
    { fields: { field: 'executor', value: asked, reason } },
  );
}
