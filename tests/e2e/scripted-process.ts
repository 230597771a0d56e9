/** Servers of `tests/servers/scripted-server.mjs`, in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const program = join(import.meta.dirname, '../servers/scripted-server.mjs');

/** An answer for prompts that hold a text. */
export interface ScriptedAnswer {
  readonly match: string;
  readonly answer: string;
}

export class ScriptedServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** @param answers the first that matches is taken. */
  static async start(answers: readonly ScriptedAnswer[]): Promise<ScriptedServer> {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-scripted-'));
    const file = join(folder, 'answers.json');
    writeFileSync(file, JSON.stringify(answers));
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the scripted server ended with ${String(code)}`);
    });
    const line: Promise<unknown[]> = once(lines, 'line');
    const [url] = await Promise.race([line, ended]);
    ended.catch(() => undefined);
    rmSync(folder, { recursive: true });
    return new ScriptedServer(String(url), child);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}
