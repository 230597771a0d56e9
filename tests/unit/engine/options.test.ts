import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { checkAgentId } from '../../../ts/engine/agent-id.js';
import { checkEngineOptions } from '../../../ts/engine/engine-options.js';
import { chooseExecutor, type ExecutorHost } from '../../../ts/engine/executor-choice.js';
import type { EngineOptions } from '../../../ts/engine/types.js';

describe('the options of an engine', () => {
  it('have the documented defaults', () => {
    expect(checkEngineOptions({})).toMatchObject({
      executor: 'auto',
      threads: 0,
      numerics: 'fast',
      blockTokens: 64,
      cacheBudgetMb: 4096,
      diskBudgetMb: 32_768,
      maxBatchSize: 16,
      prefillStepTokens: 512,
      maxQueue: 256,
      maxAgentsInMemory: 0,
      maxContext: 0,
      batchWindowMs: 0,
      speculation: 'auto',
      watchdogMs: 120_000,
      script: undefined,
      cacheDir: join(homedir(), '.stomp-serve', 'caches'),
    });
  });

  it('take a cache folder relative to home, or none', () => {
    expect(checkEngineOptions({ cacheDir: '~/c' }).cacheDir).toBe(join(homedir(), 'c'));
    expect(checkEngineOptions({ cacheDir: null }).cacheDir).toBe('');
  });

  it.each([
    ['executor', 'gpu'],
    ['threads', -1],
    ['threads', '2'],
    ['numerics', 'precise'],
    ['blockTokens', 8],
    ['blockTokens', 65],
    ['blockTokens', 2048],
    ['cacheBudgetMb', 0],
    ['cacheBudgetMb', Number.NaN],
    ['diskBudgetMb', -1],
    ['diskBudgetMb', 0.5],
    ['maxBatchSize', 65],
    ['maxBatchSize', 0],
    ['prefillStepTokens', 1],
    ['maxQueue', -1],
    ['maxAgentsInMemory', 0.5],
    ['maxContext', -5],
    ['cacheDir', ''],
    ['cacheDir', 7],
    ['cacheDir', 'a\0b'],
    ['kvBits', 5],
    ['speculation', 'on'],
    ['watchdogMs', -1],
    ['kvBits', '8'],
    ['batchWindowMs', -1],
    ['batchWindowMs', 1001],
    ['batchWindowMs', 0.5],
    ['script', 'yes'],
    ['onProgress', 'x'],
    ['signal', 'x'],
  ])('refuse %s = %j, saying what is allowed', (field, value) => {
    expect(() => checkEngineOptions({ [field]: value } as EngineOptions)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining(field),
        fields: expect.objectContaining({ field, value, allowed: expect.anything() }),
      }),
    );
  });

  it('take kvBits 16, 8 and 4, and 16 when not told', () => {
    expect(checkEngineOptions({}).kvBits).toBe(16);
    for (const kvBits of [16, 8, 4] as const) expect(checkEngineOptions({ kvBits }).kvBits).toBe(kvBits);
  });

  it('refuse what they do not know by name', () => {
    expect(() => checkEngineOptions({ cache_dir: 'x' } as EngineOptions)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD', message: expect.stringContaining('cache_dir') }),
    );
  });

  it('keep what an observer throws away from the work, and do not hide it', async () => {
    const thrown: unknown[] = [];
    vi.spyOn(process, 'nextTick').mockImplementationOnce((callback: unknown) => {
      try {
        (callback as () => void)();
      } catch (error) {
        thrown.push(error);
      }
    });
    const { onProgress } = checkEngineOptions({
      onProgress: () => {
        throw new Error('observer');
      },
    });
    expect(() => onProgress({ phase: 'load', fraction: 1 })).not.toThrow();
    expect(thrown).toMatchObject([{ message: 'observer' }]);
  });

  it('warn through the process when nobody else listens', () => {
    const emitted = vi.spyOn(process, 'emitWarning').mockImplementationOnce(() => undefined);
    const warning = new Error('x') as never;
    checkEngineOptions({}).onWarning(warning);
    expect(emitted).toHaveBeenCalledWith(warning);
  });
});

describe('the id of an agent', () => {
  it.each(['a', '_x', '-', 'A.b-c_1', '0'.repeat(128)])('may be %s', (id) => {
    expect(checkAgentId(id)).toBe(id);
  });

  it.each(['', '.a', 'a/b', '../a', 'a b', 'a\n', 'é', '0'.repeat(129), 7, null, undefined, {}])(
    'may not be %j',
    (id) => {
      expect(() => checkAgentId(id)).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST', status: 400 }),
      );
    },
  );
});

describe('the choice of the executor', () => {
  const host = (platform: NodeJS.Platform, library?: string, reason?: string): ExecutorHost => ({
    platform,
    mlxLibrary: () => library,
    skipReason: () => reason,
    canSetUp: () => false,
  });

  it('is MLX on macOS and the CPU elsewhere, unless one is named', () => {
    expect(chooseExecutor('auto', host('darwin', '/mlx'))).toEqual({ executor: 'mlx', mlxLibrary: '/mlx' });
    expect(chooseExecutor('auto', host('linux', '/mlx'))).toEqual({ executor: 'cpu', mlxLibrary: '' });
    expect(chooseExecutor('mlx', host('linux', '/mlx'))).toEqual({ executor: 'mlx', mlxLibrary: '/mlx' });
    expect(chooseExecutor('cpu', host('darwin', '/mlx'))).toEqual({ executor: 'cpu', mlxLibrary: '' });
  });

  it('never falls back: it says why what was asked for is missing', () => {
    expect(() => chooseExecutor('mlx', host('linux', undefined, 'cargo was not found.'))).toThrow(
      expect.objectContaining({
        code: 'EXECUTOR_UNAVAILABLE',
        message: expect.stringContaining('cargo was not found'),
      }),
    );
    expect(() => chooseExecutor('auto', host('darwin'))).toThrow(
      expect.objectContaining({
        code: 'EXECUTOR_UNAVAILABLE',
        message: expect.stringContaining("executor 'cpu'"),
      }),
    );
  });

  it('names the command that brings what the package leaves out', () => {
    expect(() => chooseExecutor('auto', { ...host('darwin'), canSetUp: () => true })).toThrow(
      expect.objectContaining({
        code: 'EXECUTOR_UNAVAILABLE',
        message: expect.stringMatching(/not been brought yet.*npx stomp-serve setup mlx/),
      }),
    );
  });
});
