/** Disks that are really full: file systems of 1 MB, which only root may mount. */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileGuard } from '../../../ts/guard/files.js';
import { Maasl } from '../../../ts/guard/maasl.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
const ann = { agentId: 'ann', sessionId: 'ann-1' };

/** Leaves no room at all. */
function fill(disk: string): void {
  for (const bytes of [65_536, 4096]) {
    try {
      for (let n = 0; ; n++) writeFileSync(join(disk, `filler-${bytes}-${n}`), Buffer.alloc(bytes));
    } catch {
      // full
    }
  }
}

function empty(disk: string): void {
  for (const name of readdirSync(disk)) if (name.startsWith('filler-')) rmSync(join(disk, name));
}

describe.runIf(canMount)('when the disk is full', () => {
  let base: string;
  let disk: string;

  beforeEach(() => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-full-')));
    disk = join(base, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
  });
  afterEach(() => {
    execFileSync('umount', [disk]);
    rmSync(base, { recursive: true });
  });

  it('a file stays as it was, nothing is left beside it, and its lock is free', async () => {
    const maasl = await Maasl.open({ database: join(base, 'stomp.db') });
    const files = await FileGuard.open(maasl, { roots: [disk] });
    const file = join(disk, 'a');
    await files.write(file, 'before', {}, ann);
    fill(disk);
    const refused = await files.write(file, 'x'.repeat(100_000), {}, ann).catch((error) => error);
    expect(refused).toMatchObject({ code: 'INTERNAL_ERROR', fields: { system_error: 'ENOSPC' } });
    expect(refused.message).toContain('disk is full');
    expect(readFileSync(file, 'utf8')).toBe('before');
    expect(readdirSync(disk).filter((name) => name.endsWith('.stomp'))).toEqual([]);
    expect(await maasl.locks.snapshot()).toEqual([]);
    empty(disk);
    await files.write(file, 'after', {}, ann);
    expect(readFileSync(file, 'utf8')).toBe('after');
    await maasl.close();
  });

  it('nothing is granted that could not be written down, and no token comes twice', async () => {
    const maasl = await Maasl.open({ database: join(disk, 'stomp.db') });
    const first = await maasl.locks.acquire('code:/a', ann);
    const [before = 0n] = first.tokens.values();
    await first.release();
    fill(disk);
    const refusals: unknown[] = [];
    let last = before;
    // What is in the log of SQLite already may take a few more.
    for (let i = 0; i < 200 && refusals.length === 0; i++) {
      const lease = await maasl.locks.acquire(`code:/b/${i}`, { ...ann, ttlMs: 60_000 }).catch((error) => {
        refusals.push(error);
      });
      if (lease) last = [...lease.tokens.values()][0] ?? 0n;
    }
    expect(refusals[0]).toMatchObject({ code: 'DB_BUSY', fields: { last_sqlite_error: 'SQLITE_FULL' } });
    empty(disk);
    const next = await maasl.locks.acquire('code:/c', ann);
    expect([...next.tokens.values()][0]).toBeGreaterThan(last);
    await maasl.close();
  });
});
