import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { zipMember, zipNames } from '../../../ts/engine/models/zip-member.js';
import { type ArchiveFile, zipArchive } from './archive.js';

const folder = mkdtempSync(join(tmpdir(), 'stomp-zip-'));
afterAll(() => rmSync(folder, { recursive: true }));

const text = Buffer.from('weights '.repeat(100_000));
const noise = randomBytes(70_000);
const files: ArchiveFile[] = [
  { name: 'pkg/__init__.py', bytes: Buffer.from('x = 1\n') },
  { name: 'pkg/model.gguf', bytes: text },
  { name: 'pkg/noise.bin', bytes: noise, method: 0 },
  { name: 'pkg/empty', bytes: Buffer.alloc(0), method: 0 },
  { name: 'pkg/locked', bytes: noise, encrypted: true },
  { name: 'pkg/odd', bytes: noise, method: 99 },
];
const good = zipArchive(files, 'a comment');

async function take(archive: Buffer, name: string, maxBytes = 1e9): Promise<Buffer> {
  const path = join(folder, `${randomBytes(6).toString('hex')}.zip`);
  writeFileSync(path, archive);
  const chunks: Uint8Array[] = [];
  for await (const chunk of zipMember(path, name, maxBytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

it('zipNames tells all names in order, and refuses what is no archive', async () => {
  const path = join(folder, 'names.zip');
  writeFileSync(path, good);
  expect(await zipNames(path)).toEqual(files.map(({ name }) => name));
  writeFileSync(path, noise);
  await expect(zipNames(path)).rejects.toThrow(/no archive/);
});

describe('zipMember', () => {
  it.each(['pkg/model.gguf', 'pkg/noise.bin', 'pkg/__init__.py', 'pkg/empty'])(
    'takes %s out whole',
    async (name) => {
      const file = files.find((one) => one.name === name);
      expect((await take(good, name)).equals(file?.bytes ?? Buffer.from('?'))).toBe(true);
    },
  );

  it.each([
    ['pkg/missing', /holds no/],
    ['pkg/locked', /encrypted/],
    ['pkg/odd', /method 99/],
  ])('refuses %s', async (name, reason) => {
    await expect(take(good, name)).rejects.toThrow(reason);
  });

  it('stops a member that unpacks to more than it may', async () => {
    await expect(take(good, 'pkg/model.gguf', text.length - 1)).rejects.toThrow(/longer than/);
  });

  it('refuses an archive that is cut off anywhere', async () => {
    for (const length of [0, 3, 21, 1000, good.length - 40, good.length - 1]) {
      await expect(take(good.subarray(0, length), 'pkg/model.gguf'), `${length}`).rejects.toThrow();
    }
  });

  it('refuses archives over 4 GiB and directories without end by name', async () => {
    const end = good.length - 'a comment'.length - 22;
    const large = Buffer.from(good);
    large.writeUInt32LE(0xffffffff, end + 16);
    await expect(take(large, 'pkg/model.gguf')).rejects.toThrow(/4 GiB/);
    const endless = Buffer.from(good);
    endless.writeUInt32LE(0x7fffffff, end + 12);
    await expect(take(endless, 'pkg/model.gguf')).rejects.toThrow(/directory/);
  });

  it('never gives more or hangs, whichever byte of the archive is changed', async () => {
    const small = zipArchive([{ name: 'm', bytes: Buffer.from('some weights, some weights') }]);
    await fc.assert(
      fc.asyncProperty(fc.nat(small.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bad = Buffer.from(small);
        bad[at] = (bad[at] ?? 0) ^ change;
        const taken = await take(bad, 'm', 1000).catch((error: unknown) => error);
        expect(taken instanceof Error || (Buffer.isBuffer(taken) && taken.length <= 1000)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
