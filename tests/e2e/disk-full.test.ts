/** A disk that is really full: a file system of 256 KB, which only root may mount. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentBody, type ServerProcess, serve, temporaryFolder, until } from './server-process.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
const disk = temporaryFolder();
const filler = join(disk, 'filler');

/** Leaves room for the lock file and nothing else. */
function fill(): void {
  const bytes = Buffer.alloc(4096);
  for (let n = 0; ; n++) {
    try {
      writeFileSync(`${filler}-${n}`, bytes);
    } catch {
      rmSync(`${filler}-${n}`, { force: true });
      return;
    }
  }
}

function empty(): void {
  execFileSync('sh', ['-c', `rm -f ${filler}-*`]);
}

const isSaved = async (server: ServerProcess) => (await server.json<AgentBody>('/v1/agents/ann')).saved;

describe.runIf(canMount)('when the disk is full', () => {
  beforeAll(() => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]));
  afterAll(() => execFileSync('umount', [disk]));

  it('turns go on, the log says why nothing is saved, and nothing is lost', async () => {
    const server = await serve({ cacheDir: disk });
    fill();
    const first = await server.turn('ann', 'Tell me about the sea');
    await until(() => server.err.includes('No space left on device'), 'the failure is logged');
    expect(server.err).toMatch(/ann\.safetensors: not saved/);
    expect(await isSaved(server)).toBe(false);
    const second = await server.turn('ann', 'And about the wind');
    expect(second.usage.own_tokens).toBeGreaterThanOrEqual(first.usage.prompt_tokens);

    empty();
    await server.turn('ann', 'And what else');
    await until(() => isSaved(server), 'the agent is on disk');
    await server.stop('SIGKILL');
    const after = await serve({ cacheDir: disk });
    expect((await after.turn('ann', 'Go on')).usage.restored_tokens).toBeGreaterThan(0);
  });

  it('Ctrl-C says which agents could not be saved', async () => {
    const server = await serve({ cacheDir: disk });
    fill();
    await server.turn('bob', 'Hello');
    const { code, err } = await server.stop('SIGINT');
    expect(code).toBe(1);
    expect(err).toContain('bob');
    expect(err).toContain('No space left on device');
  });
});
