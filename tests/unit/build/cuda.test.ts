import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { defaultCases, parseCases, promptIds, promptsOf, ratesOf } from '../../../bench/gpu/workload.mjs';
import { wheelForThisMachine } from '../../../cpp/deps/fetch.mjs';
import {
  chooseCuda,
  cudaHeaders,
  cudaLibraries,
  installCommand,
  lacking,
} from '../../../scripts/native/cuda.mjs';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-cuda-'));
  vi.stubEnv('STOMP_FORCE_PLATFORM', 'linux-x64');
  vi.stubEnv('STOMP_PORTABLE', '1');
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function touch(path: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), '');
}

describe('MLX for NVIDIA GPUs', () => {
  it('is taken when it is asked for, with the libraries that are named', () => {
    vi.stubEnv('STOMP_MLX_CUDA', '1');
    vi.stubEnv('STOMP_CUDA_LIBRARIES', folder);
    expect(chooseCuda()).toEqual({ cuda: { folder } });
  });

  it('is not taken when it is refused, nor where there is no wheel of it', () => {
    vi.stubEnv('STOMP_MLX_CUDA', '0');
    expect(chooseCuda()).toEqual({});
    vi.stubEnv('STOMP_MLX_CUDA', undefined);
    vi.stubEnv('STOMP_FORCE_PLATFORM', 'linux-arm64');
    expect(chooseCuda()).toEqual({});
    expect(() => wheelForThisMachine({ cuda: true })).toThrow('no MLX 0.32.2 wheel for CUDA on linux-arm64');
  });

  it('has a pinned wheel of its own, and nobody who does not ask gets it', () => {
    expect(wheelForThisMachine({ cuda: true }).package).toBe('mlx-cuda-13');
    expect(wheelForThisMachine().package).toBe('mlx-cpu');
  });

  it('says what a folder lacks, until it lacks nothing', () => {
    const all = lacking(folder);
    expect(all).toHaveLength(Object.keys(cudaLibraries).length + Object.keys(cudaHeaders).length);
    for (const [index, path] of all.entries()) {
      expect(lacking(folder)).toEqual(all.slice(index));
      touch(path);
    }
    expect(lacking(folder)).toEqual([]);
  });

  it('is told how to be had in the documentation, package by package', () => {
    const text = readFileSync(resolve(import.meta.dirname, '../../../docs/gpu.md'), 'utf8');
    const packages = installCommand.match(/'[^']+'/g)?.map((quoted) => quoted.slice(1, -1)) ?? [];
    expect(packages.length).toBeGreaterThan(5);
    for (const name of packages) expect(text).toContain(name);
  });
});

describe('the GPU benchmark', () => {
  it('gives every sequence of every trial tokens that no cache can know', () => {
    const one = { sequences: 32, prompt: 64, answer: 8 };
    const all = [0, 1, 2].flatMap((trial) => Object.values(promptsOf(one, trial)).flat());
    expect(new Set(all.map((ids) => ids.slice(0, 16).join())).size).toBe(3 * 2 * 32);
    expect(promptIds(500, 7)).toEqual(promptIds(500, 7));
    expect(all.flat().every((id) => id >= 1000 && id < 21000)).toBe(true);
  });

  it('takes cases by their text, and refuses what is none', () => {
    expect(parseCases('8x512+128')).toEqual([{ sequences: 8, prompt: 512, answer: 128 }]);
    expect(parseCases(defaultCases)).toHaveLength(4);
    for (const text of ['', '8', '8x512', '0x512+128', '8x512+128,']) {
      expect(() => parseCases(text)).toThrow('is no case');
    }
  });

  it('counts decoded tokens apart from those that come with the prompt', () => {
    const rates = ratesOf({ sequences: 8, prompt: 500 }, { short: 2, long: 6, tokens: 8 * 101 });
    expect(rates).toEqual({ prefill: 2000, decode: 200 });
  });
});
