/** The soak for twenty seconds; the whole hour is part of the nightly run. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const program = join(import.meta.dirname, '../soak/soak.mjs');

it('agents at work, killed, evicted and swapped answer as if nothing had happened', () => {
  const args = [program, '--seconds', '20', '--share', '0.3'];
  const { status, stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  expect(stdout).toMatch(/[1-9]\d* passed, 0 failed/);
  expect(stdout).toMatch(/replay of smollm2-135m: [1-9]/);
  expect(status).toBe(0);
});
