/** Writes small zip archives, right ones and wrong ones. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ArchiveFile {
  name: string;
  bytes: Buffer;
  method?: 0 | 8 | 99;
  encrypted?: boolean;
}

/** An archive of these files, in order, with a comment at the end. */
export function zipArchive(files: readonly ArchiveFile[], comment = ''): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes, method = 8, encrypted } of files) {
    const packed = method === 8 ? deflateRawSync(bytes) : bytes;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(encrypted ? 1 : 0, 2);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(checksum(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    // Extra fields differ between the two headers in real archives; here only the local one has some.
    const extra = Buffer.from([1, 0, 0, 0]);
    const local = Buffer.concat([le32(0x04034b50), common, Buffer.from(name), extra, packed]);
    local.writeUInt16LE(extra.length, 28);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([le32(0x02014b50), Buffer.from([20, 0]), common, tail, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([...parts, entries, end, Buffer.from(comment)]);
}

function le32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function checksum(bytes: Buffer): number {
  return typeof crc32 === 'function' ? crc32(bytes) : 0;
}
