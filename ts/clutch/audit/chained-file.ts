/**
 * A file that is only ever appended to, by one process. When it is full it gets a number, and a new one goes on with
 * the same chain. Entries are handed to the operating system as they come, so the end of the process loses none; a
 * power cut loses what came after the last `sync`.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { StompError } from '../../errors.js';
import { sha256 } from '../../file-text.js';
import { numbersFrom, renameToFree, syncFolder } from '../../storage/log-file.js';
import { type ChainHead, chainStart, type EntryFormat, nextHead } from './chain.js';

export interface ChainedFileOptions {
  readonly path: string;
  readonly format: EntryFormat;
  /** A file is set aside before it would grow beyond. */
  readonly maxBytes: number;
  /** What is written when half an entry was found at the end, and is no more. */
  tornEntry(torn: { bytes: number; sha256: string }): string;
}

export class ChainedFile {
  readonly #options: ChainedFileOptions;
  #fd: number;
  #bytes: number;
  #head: ChainHead;
  #unsynced = false;
  #namesUnsynced = true;

  private constructor(options: ChainedFileOptions, fd: number, bytes: number, head: ChainHead) {
    this.#options = options;
    this.#fd = fd;
    this.#bytes = bytes;
    this.#head = head;
  }

  /**
   * Goes on where the last process stopped. Half an entry, cut off by a crash, is replaced by one that tells of it.
   * @throws StompError LOG_UNWRITABLE
   */
  static open(options: ChainedFileOptions): ChainedFile {
    return writing(options.path, () => {
      const fd = openToAppend(options.path);
      const bytes = readFileSync(fd);
      // A character for each byte, also where bytes are damaged: only what a crash has cut off at the end may go.
      const { entries, length: end } = options.format.read(bytes.toString('latin1'));
      const file = new ChainedFile(options, fd, end, entries.at(-1) ?? headOfOlder(options));
      if (end < bytes.length) {
        ftruncateSync(fd, end);
        file.append(options.tornEntry(tornPart(bytes.subarray(end))));
      }
      return file;
    });
  }

  /** Where the chain has come to: kept elsewhere, it proves later that nothing up to there is missing. */
  get head(): ChainHead {
    return this.#head;
  }

  /** @throws StompError LOG_UNWRITABLE; then nothing of it counts, and the next call takes its place */
  append(body: string): void {
    writing(this.#options.path, () => {
      const head = nextHead(this.#head, body);
      const text = Buffer.from(this.#options.format.seal(body, head));
      if (this.#bytes > 0 && this.#bytes + text.length > this.#options.maxBytes) this.#setAside();
      this.#write(text);
      this.#bytes += text.length;
      this.#head = head;
      this.#unsynced = true;
    });
  }

  /** All that was appended outlives a power cut. @throws StompError LOG_UNWRITABLE */
  async sync(): Promise<ChainHead> {
    if (this.#unsynced) writing(this.#options.path, () => fsyncSync(this.#fd));
    this.#unsynced = false;
    if (this.#namesUnsynced) await syncFolder(dirname(this.#options.path));
    this.#namesUnsynced = false;
    return this.#head;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(text: Buffer): void {
    try {
      for (let done = 0; done < text.length; ) {
        done += writeSync(this.#fd, text, done, text.length - done, this.#bytes + done);
      }
    } catch (error) {
      ftruncateSync(this.#fd, this.#bytes);
      throw error;
    }
  }

  #setAside(): void {
    const { path } = this.#options;
    fsyncSync(this.#fd);
    renameToFree(path, numbersFrom(1));
    const full = this.#fd;
    this.#fd = openToAppend(path);
    closeSync(full);
    this.#bytes = 0;
    this.#namesUnsynced = true;
  }
}

/** The files of one chain that are there, in order: those that were set aside, then the one that is written. */
export function filesOfChain(path: string): string[] {
  const extension = extname(path);
  const stem = basename(path, extension);
  const isOlder = (name: string) => {
    const middle = name.slice(stem.length + 1, name.length - extension.length);
    return name === `${stem}.${middle}${extension}` && /^\d{4,}$/.test(middle);
  };
  const names = readdirSync(dirname(path));
  const older = names.filter(isOlder).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const current = names.includes(basename(path)) ? [basename(path)] : [];
  return [...older, ...current].map((name) => join(dirname(path), name));
}

function headOfOlder({ path, format }: ChainedFileOptions): ChainHead {
  const older = filesOfChain(path)
    .filter((one) => one !== path)
    .at(-1);
  if (older === undefined) return chainStart;
  return format.read(readFileSync(older, 'utf8')).entries.at(-1) ?? chainStart;
}

function openToAppend(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

function tornPart(bytes: Buffer): { bytes: number; sha256: string } {
  return { bytes: bytes.length, sha256: sha256(bytes) };
}

function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StompError) throw error;
    const why = (error as Error).message;
    throw new StompError(
      'LOG_UNWRITABLE',
      `The audit ${path} cannot be written: ${why}. Make room or rights for it.`,
      {
        fields: { file: path },
        cause: error,
      },
    );
  }
}
