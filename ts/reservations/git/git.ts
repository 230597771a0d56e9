/** Runs the git command: no shell, no prompts, no settings of the caller's environment. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { StompError } from '../../errors.js';

export interface GitOptions {
  /** Where it runs. */
  readonly cwd: string;
  readonly signal?: AbortSignal | undefined;
  /** What it reads from its standard input. */
  readonly input?: string;
  /** More output than this is refused. */
  readonly maxBytes?: number;
  /** Besides what git sees anyway. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Exit codes besides 0 that are answers and no failures. */
  readonly answers?: readonly number[];
}

export interface GitOutput {
  readonly stdout: Buffer;
  readonly exit: number;
}

const defaultMaxBytes = 256 * 1024 * 1024;
const maxErrorBytes = 64 * 1024;

// Settings that run programs of the repository's choosing, or that change the shape of the output.
const settings = ['core.fsmonitor=false', 'core.quotePath=false', 'core.pager=cat', 'color.ui=false'];

const partialHint =
  ' The clone is a partial one, and nothing is fetched here; fetch the rest with `git fetch --refetch --no-filter`.';

/** What git may see of the environment: everything but what would point it elsewhere or make it ask. */
export function gitEnvironment(environment: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !name.toUpperCase().startsWith('GIT_'));
  return {
    ...Object.fromEntries(kept),
    LC_ALL: 'C',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    GIT_PAGER: 'cat',
    // In a partial clone what is missing would be fetched: from where, and with which programs, the repository says.
    GIT_NO_LAZY_FETCH: '1',
    // Git before 2.45 knows only this.
    GIT_ALLOW_PROTOCOL: 'none',
  };
}

/** A running git, for those who talk to it; `git` is for the others. */
export function spawnGit(
  args: readonly string[],
  cwd: string,
  environment: Readonly<Record<string, string>> = {},
): ChildProcessWithoutNullStreams {
  const all = [...settings.flatMap((setting) => ['-c', setting]), ...args];
  const env = { ...gitEnvironment(), ...environment };
  return spawn('git', all, { cwd, env, windowsHide: true, stdio: 'pipe' });
}

/** @throws StompError GIT_FAILED, CANCELLED, PAYLOAD_TOO_LARGE */
export function git(args: readonly string[], options: GitOptions): Promise<GitOutput> {
  const { cwd, signal, input, environment, maxBytes = defaultMaxBytes, answers = [] } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled(signal));
    const child = spawnGit(args, cwd, environment);
    const chunks: Buffer[] = [];
    let size = 0;
    let errors = '';
    // The first reason counts; the rest follows from killing the command.
    const fail = (error: StompError) => {
      signal?.removeEventListener('abort', onAbort);
      child.kill('SIGKILL');
      reject(error);
    };
    const onAbort = () => fail(cancelled(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    child.on('error', (error) => fail(notStarted(error)));
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) fail(tooLarge(args, maxBytes));
      else chunks.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (errors.length < maxErrorBytes) errors += chunk.toString();
    });
    // Git may end without having read all; its exit code says what became of it.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
    child.on('close', (code, killedBy) => {
      signal?.removeEventListener('abort', onAbort);
      const exit = code ?? -1;
      if (exit === 0 || answers.includes(exit)) resolve({ stdout: Buffer.concat(chunks, size), exit });
      else reject(failed(args, killedBy ?? exit, errors));
    });
  });
}

/** The output as text, without the line end that git puts at its end. */
export async function gitText(args: readonly string[], options: GitOptions): Promise<string> {
  const { stdout } = await git(args, options);
  return stdout.toString('utf8').replace(/\r?\n$/, '');
}

export function notStarted(error: Error): StompError {
  const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  const message = isMissing
    ? 'The git command was not found. Install git 2.36 or later and put it on the PATH.'
    : `The git command could not be started: ${error.message}`;
  return new StompError('GIT_FAILED', message, { cause: error });
}

export function failed(args: readonly string[], exit: number | string, words: string): StompError {
  const said = words.trim() || 'It gave no reason.';
  const hint = words.includes('promisor remote') ? partialHint : '';
  return new StompError('GIT_FAILED', `git ${args[0]} failed (${exit}): ${said}${hint}`, {
    fields: { command: args[0], exit, words: words.trim() },
  });
}

export function cancelled(signal: AbortSignal | undefined): StompError {
  return new StompError('CANCELLED', 'Cancelled.', { cause: signal?.reason });
}

function tooLarge(args: readonly string[], maxBytes: number): StompError {
  return new StompError('PAYLOAD_TOO_LARGE', `git ${args[0]} gave more than ${maxBytes} bytes.`, {
    fields: { command: args[0], max_bytes: maxBytes },
  });
}
