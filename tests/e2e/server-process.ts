/** Real servers for the end-to-end tests: processes of their own, on free ports, with folders of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach } from 'vitest';

const root = join(import.meta.dirname, '../..');
export const main = join(root, 'dist/cli/main.js');

/** Three layers, 512 tokens of context, no sense in what it says. */
export const tinyModel = join(root, 'tests/fixtures/models/tiny-llama.Q4_1.gguf');
export const perplexityText = join(root, 'tests/fixtures/text/perplexity.txt');
export const goldenFolder = join(root, 'tests/fixtures/golden');

const folders: string[] = [];
const processes = new Set<ChildProcess>();

afterEach(() => {
  for (const child of processes) if (!shared.has(child)) child.kill('SIGKILL');
});
afterAll(() => {
  for (const child of processes) child.kill('SIGKILL');
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
/** Servers that the tests of one file use together. */
const shared = new WeakSet<ChildProcess>();

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-e2e-'));
  folders.push(folder);
  return folder;
}

export interface Finished {
  /** Undefined when a signal ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export class StompProcess {
  readonly child: ChildProcess;
  out = '';
  err = '';
  readonly #exited: Promise<number | null>;

  /** Runs in an empty folder, so that no settings of the developer's leak in. */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'home'));
    const inherited = Object.entries(process.env).filter(
      ([name]) => !/^STOMP_(?!MODEL_DIR|PACKAGE_INDEX)/.test(name),
    );
    this.child = spawn(process.execPath, [main, ...args], {
      cwd,
      // The models of whoever runs the tests, but not their locks.
      env: { ...Object.fromEntries(inherited), STOMP_DATABASE: join(cwd, 'home', 'stomp.db'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    processes.add(this.child);
    this.child.stdout?.on('data', (data: Buffer) => (this.out += data.toString()));
    this.child.stderr?.on('data', (data: Buffer) => (this.err += data.toString()));
    this.#exited = once(this.child, 'close').then(() => {
      processes.delete(this.child);
      return this.child.exitCode;
    });
  }

  async finished(): Promise<Finished> {
    const code = await this.#exited;
    return { code, out: this.out, err: this.err };
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
}

/** Runs a command to its end. */
export function stomp(...args: string[]): Promise<Finished> {
  return new StompProcess(args).finished();
}

export interface ServerSetup {
  readonly model?: string;
  readonly cacheDir?: string;
  /** Of the guard. */
  readonly database?: string;
  readonly args?: readonly string[];
  /** Lives until the end of the file, not of the test. */
  readonly shared?: boolean;
}

export class ServerProcess extends StompProcess {
  readonly cacheDir: string;
  readonly database: string;

  constructor({
    model = tinyModel,
    cacheDir = temporaryFolder(),
    database = join(temporaryFolder(), 'stomp.db'),
    args = [],
    shared: isShared = false,
  }: ServerSetup = {}) {
    super([
      'serve',
      '--port',
      '0',
      '--model',
      model,
      '--cache-dir',
      cacheDir,
      '--cache-budget-mb',
      '256',
      '--database',
      database,
      ...args,
    ]);
    this.cacheDir = cacheDir;
    this.database = database;
    if (isShared) shared.add(this.child);
  }

  get url(): string {
    const url = /^ +url +(http:\S+)$/m.exec(this.out)?.[1];
    if (url === undefined) throw new Error(`no URL in:\n${this.out}\n${this.err}`);
    return url;
  }

  async ready(): Promise<this> {
    await until(() => this.out.includes('Ready.') || !this.running, 'the server is ready', 120_000);
    if (!this.running) throw new Error(`the server has ended:\n${this.out}\n${this.err}`);
    return this;
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals): Promise<Finished> {
    this.child.kill(signal);
    return this.finished();
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: text,
    });
  }

  async json<T>(path: string): Promise<T> {
    return (await (await fetch(this.url + path)).json()) as T;
  }

  /** Value of a metric, with its labels as they are written. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length));
  }

  /** One turn of a named agent. */
  async turn(agent: string, message: string, fields: Record<string, unknown> = {}): Promise<TurnBody> {
    const response = await this.post(`/v1/agents/${agent}/generate`, { message, max_tokens: 16, ...fields });
    const body = (await response.json()) as TurnBody;
    if (response.status !== 200) throw new Error(`turn failed: ${JSON.stringify(body)}`);
    return body;
  }
}

export interface TurnBody {
  readonly text: string;
  readonly finish_reason: string;
  readonly usage: {
    readonly prompt_tokens: number;
    readonly cached_tokens: number;
    readonly computed_tokens: number;
    readonly generated_tokens: number;
    readonly own_tokens: number;
    readonly shared_tokens: number;
    readonly restored_tokens: number;
    readonly miss_reason: string | null;
  };
}

export interface AgentBody {
  readonly agent_id: string;
  readonly tier: string;
  readonly tokens: number;
  readonly saved: boolean;
}

export function serve(setup?: ServerSetup): Promise<ServerProcess> {
  return new ServerProcess(setup).ready();
}

/** Waits until `check` holds; fails when it never does. */
export async function until(
  check: () => boolean | Promise<boolean>,
  what: string,
  ms = 20_000,
): Promise<void> {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`It never came to pass: ${what}`);
}
