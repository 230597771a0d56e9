/**
 * Takes one file out of a zip archive without unpacking the rest. Reads what archives of this kind use (stored
 * and deflated members, no encryption, under 4 GiB) and refuses everything else; no size is believed.
 * Format: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';

const endSignature = 0x06054b50;
const endBytes = 22;
const entrySignature = 0x02014b50;
const entryBytes = 46;
const localSignature = 0x04034b50;
const localBytes = 30;
const maxCommentBytes = 0xffff;
const maxDirectoryBytes = 16 * 1024 * 1024;
const stored = 0;
const deflated = 8;

interface Entry {
  flags: number;
  method: number;
  packedBytes: number;
  localOffset: number;
}

/**
 * Bytes of a member, in order. What comes out is not more than `maxBytes`.
 * @throws Error naming what is wrong with the archive.
 */
export async function* zipMember(path: string, name: string, maxBytes: number): AsyncGenerator<Uint8Array> {
  const { start, entry } = await locate(path, name);
  let bytes = 0;
  for await (const chunk of unpacked(path, start, entry)) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new Error(`${name} is longer than ${maxBytes} bytes`);
    yield chunk as Buffer;
  }
}

/**
 * Names of all members, in the directory's order.
 * @throws Error naming what is wrong with the archive.
 */
export async function zipNames(path: string): Promise<string[]> {
  const file = await open(path);
  try {
    const directory = await readDirectory(file, (await file.stat()).size);
    return [...entriesOf(directory)].map(({ name }) => name);
  } finally {
    await file.close();
  }
}

function unpacked(path: string, start: number, entry: Entry): Readable {
  if (entry.packedBytes === 0) return Readable.from([]);
  const packed = createReadStream(path, {
    start,
    end: start + entry.packedBytes - 1,
    highWaterMark: 1 << 18,
  });
  if (entry.method === stored) return packed;
  const inflate = createInflateRaw({ chunkSize: 1 << 18 });
  packed.on('error', (error) => inflate.destroy(error));
  inflate.on('close', () => packed.destroy());
  return packed.pipe(inflate);
}

async function locate(path: string, name: string): Promise<{ start: number; entry: Entry }> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const entry = findEntry(await readDirectory(file, size), name);
    if (!entry) throw new Error(`the archive holds no ${name}`);
    if (entry.flags & 1) throw new Error(`${name} is encrypted`);
    if (entry.method !== stored && entry.method !== deflated) {
      throw new Error(`${name} is packed by method ${entry.method}`);
    }
    const local = await read(file, entry.localOffset, localBytes, size);
    if (local.readUInt32LE(0) !== localSignature) throw new Error('the archive is damaged: no local header');
    const start = entry.localOffset + localBytes + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (start + entry.packedBytes > size) throw new Error('the archive is cut off');
    return { start, entry };
  } finally {
    await file.close();
  }
}

async function readDirectory(file: FileHandle, size: number): Promise<Buffer> {
  const tailBytes = Math.min(size, endBytes + maxCommentBytes);
  const tail = await read(file, size - tailBytes, tailBytes, size);
  for (let at = tail.length - endBytes; at >= 0; at--) {
    const isEnd =
      tail.readUInt32LE(at) === endSignature && at + endBytes + tail.readUInt16LE(at + 20) === tail.length;
    if (!isEnd) continue;
    const bytes = tail.readUInt32LE(at + 12);
    const offset = tail.readUInt32LE(at + 16);
    if (offset === 0xffffffff) throw new Error('archives over 4 GiB are not supported');
    if (bytes > maxDirectoryBytes) throw new Error('the archive is damaged: its directory is too large');
    return read(file, offset, bytes, size);
  }
  throw new Error('this is no archive, or it is cut off');
}

function findEntry(directory: Buffer, wanted: string): Entry | undefined {
  for (const entry of entriesOf(directory)) if (entry.name === wanted) return entry;
  return undefined;
}

function* entriesOf(directory: Buffer): Generator<Entry & { name: string }> {
  let at = 0;
  while (at + entryBytes <= directory.length && directory.readUInt32LE(at) === entrySignature) {
    const nameEnd = at + entryBytes + directory.readUInt16LE(at + 28);
    yield {
      name: directory.toString('utf8', at + entryBytes, nameEnd),
      flags: directory.readUInt16LE(at + 8),
      method: directory.readUInt16LE(at + 10),
      packedBytes: directory.readUInt32LE(at + 20),
      localOffset: directory.readUInt32LE(at + 42),
    };
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
}

async function read(file: FileHandle, offset: number, bytes: number, size: number): Promise<Buffer> {
  if (offset < 0 || offset + bytes > size) throw new Error('the archive is cut off');
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, offset);
  if (bytesRead !== bytes) throw new Error('the archive is cut off');
  return buffer;
}
