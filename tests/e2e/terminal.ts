/** Programs that have a terminal and somebody at its keys. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** `script` gives the program its terminal; what is written here are keys. */
export class Terminal {
  shown = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;

  /** @param line of a shell */
  constructor(line: string, { cwd, env }: { cwd: string; env: NodeJS.ProcessEnv }) {
    const isMac = process.platform === 'darwin';
    const args = isMac ? ['-q', '/dev/null', '/bin/sh', '-c', line] : ['-qefc', line, '/dev/null'];
    this.#child = spawn('script', args, { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (data: Buffer) => (this.shown += data.toString()));
    this.#ended = once(this.#child, 'exit').then(([code]) => code as number | null);
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Return is a key of its own: in one piece with the text it would be taken for a pasted line. */
  async say(line: string): Promise<void> {
    this.press(line);
    await pause(500);
    this.press('\r');
  }

  exited(): Promise<number | null> {
    return this.#ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** For a screen to settle, which says nothing when it has. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
