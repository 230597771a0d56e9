import { defineConfig } from 'vitest/config';

const project = (name: string, testTimeout: number) => ({
  extends: true as const,
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    // A native addon that keeps a thread needs a process of its own, not a worker.
    pool: 'forks' as const,
    // Threads that the sources start.
    execArgv: ['--import', new URL('./tests/typescript.mjs', import.meta.url).href],
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    // What a test waits for comes late where others use the machine.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      project('unit', 20_000),
      project('integration', 120_000),
      project('e2e', 300_000),
      project('clients', 600_000),
    ],
    coverage: {
      provider: 'v8',
      include: ['ts/**/*.ts'],
      // It runs in a browser, which tells nothing of what it has covered.
      exclude: ['ts/ui/**'],
      reporter: ['text-summary', 'html', 'json-summary'],
      thresholds: { statements: 85, branches: 80, functions: 85, lines: 85 },
    },
  },
});
