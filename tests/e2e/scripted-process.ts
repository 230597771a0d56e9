/** Servers of `tests/servers/scripted-server.mjs`, in processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { temporaryFolder } from './server-process.js';

const program = join(import.meta.dirname, '../servers/scripted-server.mjs');

/** An answer for prompts that hold a text. */
export interface ScriptedAnswer {
  readonly match: string;
  readonly answer: string;
}

export interface ScriptedSetup {
  /** The default model where none is named. */
  readonly model?: string;
  /** Without one, agents are kept in memory alone. */
  readonly cacheDir?: string;
}

export class ScriptedServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** @param answers the first that matches is taken. */
  static async start(
    answers: readonly ScriptedAnswer[],
    { model = 'smollm2-135m', cacheDir }: ScriptedSetup = {},
  ): Promise<ScriptedServer> {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-scripted-'));
    const file = join(folder, 'answers.json');
    writeFileSync(file, JSON.stringify(answers));
    const args = [program, file, model, ...(cacheDir === undefined ? [] : [cacheDir])];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
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

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }

  async json<T>(path: string): Promise<T> {
    return (await (await fetch(this.url + path)).json()) as T;
  }
}

const tinyModel = join(import.meta.dirname, '../fixtures/models/tiny-llama-bf16');
const contextTokens = 65_536;

/**
 * A tiny model for long conversations.
 * @param chatTemplate in the place of its own.
 * @returns its folder; the model is served as "tiny-chat".
 */
export function tinyChatModel(chatTemplate?: string): string {
  const folder = join(temporaryFolder(), 'tiny-chat');
  cpSync(tinyModel, folder, { recursive: true });
  const template = chatTemplate === undefined ? {} : { chat_template: chatTemplate };
  patch(join(folder, 'config.json'), { max_position_embeddings: contextTokens });
  patch(join(folder, 'tokenizer_config.json'), { model_max_length: contextTokens, ...template });
  return folder;
}

function patch(file: string, fields: object): void {
  const before = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...before, ...fields }));
}
