/** `switcher.mjs` as a process, with what it has said. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface SwitcherSetup {
  database: string;
  agents?: readonly string[];
  switches?: number;
  contested?: { agentId: string; sessionId: string; times: number };
  race?: { agentId: string; sessionId: string; expectedVersion: number; project: string };
}

export interface Said {
  ready?: true;
  started?: string;
  session?: string;
  agent?: string;
  version?: number;
  project?: string;
  won?: { version: number; project: string };
  lost?: string;
  fields?: Record<string, unknown>;
}

export class Switcher {
  readonly child: ChildProcess;
  readonly said: Said[] = [];
  readonly #closed: Promise<unknown>;

  constructor(setup: SwitcherSetup) {
    const script = join(import.meta.dirname, 'switcher.mjs');
    this.child = spawn(process.execPath, [script, JSON.stringify(setup)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: this.child.stdout as NodeJS.ReadableStream });
    lines.on('line', (line) => this.said.push(JSON.parse(line) as Said));
    this.#closed = Promise.all([once(this.child, 'exit'), once(lines, 'close')]);
  }

  /** @returns whether it came to its end by itself */
  async end(): Promise<boolean> {
    await this.#closed;
    return this.child.exitCode === 0;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#closed;
  }
}
