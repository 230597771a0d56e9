/** `log-writer.mjs` as a process, with what it has written. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Project } from '../../../ts/context/types.js';

export interface LogWriterSetup {
  database: string;
  projects: readonly Project[];
  agent: string;
  from: number;
  to: number;
  rotateBytes?: number;
  leaseTtlMs: number;
  kill?: { at: string; entry: number; signal?: 'SIGKILL' | 'SIGSTOP' };
}

export class LogWriterProcess {
  readonly child: ChildProcess;
  /** The first entry of which it has not said that it is written. */
  next: number;
  /** What was stored and did not come into the file at once. */
  readonly unwritten: string[] = [];
  err = '';

  constructor(setup: LogWriterSetup) {
    this.next = setup.from;
    const script = join(import.meta.dirname, 'log-writer.mjs');
    this.child = spawn(process.execPath, [script, JSON.stringify(setup)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (data) => {
      this.err += data;
    });
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { n, written, error } = JSON.parse(line);
      this.next = n + 1;
      if (!written) this.unwritten.push(`${n}: ${error?.code} ${error?.message}`);
    });
  }

  /** @returns the signal that has ended it, if one has */
  async ended(): Promise<NodeJS.Signals | undefined> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'close');
    if (this.child.exitCode) throw new Error(`the writer has failed: ${this.err}`);
    return this.child.signalCode ?? undefined;
  }
}
