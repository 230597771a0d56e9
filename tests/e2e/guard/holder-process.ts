/** `holder.mjs` as a process, with what it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface HolderSetup {
  database: string;
  root: string;
  file: string;
  ttlMs: number;
  act: 'hold' | 'write';
  stopAt?: 'rename' | 'sync';
}

export interface Said {
  event: 'held' | 'stopping' | 'written' | 'refused';
  token?: string;
  code?: string;
  fields?: Record<string, unknown>;
}

export class Holder {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(setup: HolderSetup) {
    const script = join(import.meta.dirname, 'holder.mjs');
    this.child = spawn(process.execPath, [script, JSON.stringify(setup)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })[
      Symbol.asyncIterator
    ]();
  }

  /** The next thing that happens. */
  async next(): Promise<Said> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the holder ended without a word');
    return JSON.parse(value) as Said;
  }

  /** Wakes it up; what happens then. */
  async wake(): Promise<Said> {
    // It says that it stops before it does.
    const again = setInterval(() => this.child.kill('SIGCONT'), 50);
    try {
      return await this.next();
    } finally {
      clearInterval(again);
    }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
