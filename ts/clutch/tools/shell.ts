/** Scripts of a run. What a script starts ends with it: its processes are one group, which is killed as a whole. */
import { type ChildProcess, spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { StompError } from '../../errors.js';
import { text, whole } from '../../tools/shapes.js';
import { defineTool } from './define-tool.js';
import { processEnvironment } from './environment.js';
import { BothEnds } from './limits.js';
import type { Outcome, RunTool, ToolScope } from './run-tool.js';

/** What scripts of runs are given. */
export interface ShellOptions {
  /** Further variables of this process's environment that scripts get. @default none */
  readonly environment?: readonly string[];
}

const defaultTimeoutS = 60;
const maxTimeoutS = 3600;
// Leaves room for the exit code and the marker within what one output may have.
const keptChars = 7_800;
/** A process that has left the group may hold the pipes open for ever. */
const drainMs = 1000;

export function shellTool({ environment = [] }: ShellOptions = {}): RunTool {
  const shell = process.platform === 'win32' ? 'PowerShell' : '/bin/sh';
  return defineTool({
    name: 'run_script',
    description:
      `Runs a script with ${shell}, without input, and gives its exit code and what it wrote. Processes that it ` +
      'leaves running are ended.',
    parameters: {
      type: 'object',
      properties: {
        script: text('The script'),
        base_dir: text('Folder to run it in; relative ones begin in the base directory. Default: that one'),
        timeout_s: whole(`Seconds after which it is killed. Default: ${defaultTimeoutS}`, 1, maxTimeoutS),
      },
      required: ['script'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async ({ script, base_dir, timeout_s = defaultTimeoutS }, scope) => ({
      script,
      base_dir: await folderOf(base_dir ?? scope.baseDir, scope),
      timeout_s,
    }),
    touches: ({ base_dir = '/' }) => [base_dir],
    preview: async ({ base_dir, timeout_s }) => ({
      title: `Run a script in ${base_dir}, at most ${timeout_s} s`,
    }),
    run: async ({ script, base_dir, timeout_s = defaultTimeoutS }, scope) => {
      const cwd = await folderOf(base_dir ?? scope.baseDir, scope);
      if (cwd !== base_dir) throw elsewhere(base_dir ?? '', cwd);
      const env = processEnvironment(process.env, environment);
      return runScript({ script, cwd, env, timeoutMs: timeout_s * 1000 }, scope.signal);
    },
  });
}

async function folderOf(given: string, { paths, baseDir }: ToolScope): Promise<string> {
  const folder = await paths.resolve(given, baseDir);
  const stats = await stat(folder).catch(() => undefined);
  if (stats?.isDirectory()) return folder;
  throw new StompError('INVALID_REQUEST', `base_dir must be a folder that is there, not ${folder}.`, {
    fields: { field: 'base_dir', file: folder },
  });
}

function elsewhere(shown: string, now: string): StompError {
  return new StompError('PATH_DENIED', `${shown} leads to ${now} by now, which nobody was shown.`, {
    fields: { file: shown },
  });
}

interface Script {
  readonly script: string;
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly timeoutMs: number;
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** @throws StompError CANCELLED */
async function runScript({ script, cwd, env, timeoutMs }: Script, signal: AbortSignal): Promise<Outcome> {
  const [command, args] = shellCommand(script);
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  const written = new BothEnds(keptChars);
  for (const stream of [child.stdout, child.stderr]) {
    const decoder = new StringDecoder('utf8');
    stream?.on('data', (bytes: Buffer) => written.add(decoder.write(bytes)));
  }
  let late = false;
  const abort = () => killGroup(child);
  const timer = setTimeout(() => {
    late = true;
    abort();
  }, timeoutMs);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const ended = await endOf(child);
    signal.throwIfAborted();
    return outcomeOf(ended, written.text, late ? timeoutMs : undefined);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}

function shellCommand(script: string): [command: string, args: string[]] {
  if (process.platform !== 'win32') return ['/bin/sh', ['-c', script]];
  return ['powershell.exe', ['-NoProfile', '-NonInteractive', '-Command', script]];
}

/** All that it wrote is read by then, and nothing of its group is left. */
function endOf(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let drained: NodeJS.Timeout | undefined;
    child.once('error', reject);
    child.once('exit', () => {
      killGroup(child);
      drained = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, drainMs);
    });
    child.once('close', (code, signal) => {
      clearTimeout(drained);
      resolve({ code, signal });
    });
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  if (process.platform === 'win32') {
    spawn('taskkill', ['/pid', String(child.pid), '/t', '/f'], { stdio: 'ignore' }).once('error', () =>
      child.kill(),
    );
    return;
  }
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // Nothing of it is left, or nothing that may be ended: of a group of the dead alone macOS says EPERM.
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['ESRCH', 'EPERM'].includes(code)) throw error;
  }
}

function outcomeOf({ code, signal }: Ended, written: string, lateMs: number | undefined): Outcome {
  const output = written === '' ? '[no output]' : written;
  if (lateMs !== undefined) {
    return { output: `[killed after ${lateMs / 1000} s]\n${output}`, failed: true };
  }
  const how = code === null ? `[killed by ${signal}]` : `[exit code ${code}]`;
  return { output: `${how}\n${output}`, failed: code !== 0 };
}
