/** Contents of objects, from one git that stays. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { StompError } from '../../errors.js';
import { failed, notStarted, spawnGit } from './git.js';

interface Waiting {
  readonly id: string;
  resolve(bytes: Buffer): void;
  reject(error: StompError): void;
}

/** `git cat-file --batch`: answers come in the order of the questions. */
export class BlobReader {
  readonly #cwd: string;
  readonly #waiting: Waiting[] = [];
  #child: ChildProcessWithoutNullStreams | undefined;
  #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes there must be before the next answer can be taken. */
  #needed = 1;
  #words = '';

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  /** @throws StompError GIT_FAILED when there is no such object. */
  read(id: string): Promise<Buffer> {
    // Whatever else went in would be a question of its own.
    if (!/^[0-9a-f]{40,64}$/.test(id))
      return Promise.reject(new StompError('GIT_FAILED', `${id} is no object id.`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ id, resolve, reject });
      this.#start().stdin.write(`${id}\n`);
    });
  }

  /** Ends git. Reads that wait fail. */
  close(): void {
    this.#child?.kill('SIGKILL');
    this.#end(new StompError('CANCELLED', 'The repository was closed.'));
  }

  #start(): ChildProcessWithoutNullStreams {
    if (this.#child) return this.#child;
    const child = spawnGit(['cat-file', '--batch'], this.#cwd);
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => {
      if (child === this.#child) this.#take(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.#words = `${this.#words}${chunk}`.slice(-4096);
    });
    // It is told by `close`, with git's words.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => {
      if (child === this.#child) this.#end(notStarted(error));
    });
    child.on('close', (code) => {
      if (child === this.#child) this.#end(failed(['cat-file'], code ?? -1, this.#words));
    });
    return child;
  }

  #end(error: StompError): void {
    this.#child = undefined;
    this.#chunks = [];
    this.#size = 0;
    this.#needed = 1;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    // A large object comes in many chunks; they are joined once.
    if (this.#size < this.#needed) return;
    let rest: Buffer = Buffer.concat(this.#chunks, this.#size);
    for (let next = this.#answer(rest); next; next = this.#answer(rest)) rest = next;
    this.#chunks = [rest];
    this.#size = rest.length;
  }

  /** Takes one answer. @returns what is left; undefined when it is not all there. */
  #answer(bytes: Buffer): Buffer | undefined {
    this.#needed = bytes.length + 1;
    const headEnd = bytes.indexOf(10);
    if (headEnd < 0) return undefined;
    const head = bytes.toString('latin1', 0, headEnd);
    const size = /^[0-9a-f]+ \w+ (\d+)$/.exec(head)?.[1];
    const start = headEnd + 1;
    const end = start + (size === undefined ? 0 : Number(size));
    const next = size === undefined ? end : end + 1;
    this.#needed = next;
    if (bytes.length < next) return undefined;
    const waiting = this.#waiting.shift();
    if (size === undefined) waiting?.reject(new StompError('GIT_FAILED', `git has no object: ${head}`));
    else waiting?.resolve(Buffer.from(bytes.subarray(start, end)));
    this.#needed = 1;
    return bytes.subarray(next);
  }
}
