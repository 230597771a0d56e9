/** One run of the `gemini` program: a prompt in, JSON lines out. No shell; what it starts ends with it. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { StompError } from '../../errors.js';
import { cutShort, isPassing, ProviderFailure } from './failures.js';

/** Lines of `--output-format stream-json`, as far as they are read. */
export type GeminiLine =
  | { readonly type: 'init'; readonly session_id: string }
  | { readonly type: 'message'; readonly role: 'user' | 'assistant'; readonly content: string }
  | { readonly type: 'result'; readonly status: 'success' | 'error'; readonly error?: { message: string } }
  | { readonly type: 'error' | 'tool_use' | 'tool_result' };

export interface GeminiStats {
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly cached?: number;
}

export type GeminiResult = GeminiLine & { readonly stats?: GeminiStats };

export interface GeminiCommand {
  /** A name on the path, or a path. */
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Written to its standard input. */
  readonly prompt: string;
}

/** What it may still write, such as its session, once it has been told to end. */
const graceMs = 2000;
/** Of its complaints, the last characters. */
const keptErrorChars = 2000;

/**
 * Resolves when the program has ended well, whatever its lines say.
 * @throws StompError PROVIDER_MISSING when there is no such program
 * @throws ProviderFailure
 */
export async function runGemini(
  command: GeminiCommand,
  onLine: (line: GeminiResult) => void,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw cutShort();
  const { program, args, cwd, env, prompt } = command;
  const child = spawn(program, args, { cwd, env, stdio: 'pipe', detached: process.platform !== 'win32' });
  const stop = (): void => endGroup(child);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const complaint = collect(child);
    // It may end before it has read the prompt; its exit code says why.
    child.stdin.on('error', () => undefined);
    child.stdin.end(prompt);
    const exit = exitOf(child, program);
    await Promise.all([exit, readLines(child, onLine)]);
    checkExit(await exit, complaint());
  } catch (error) {
    if (child.exitCode === null && child.signalCode === null) stop();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function readLines(
  child: ChildProcessWithoutNullStreams,
  onLine: (line: GeminiResult) => void,
): Promise<void> {
  for await (const text of createInterface({ input: child.stdout })) {
    const line = readLine(text);
    if (line) onLine(line);
  }
}

/** The program's libraries may print words of their own among the lines. */
function readLine(text: string): GeminiResult | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as GeminiResult;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function exitOf(child: ChildProcessWithoutNullStreams, program: string): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(startFailure(error, program)));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

function startFailure(error: NodeJS.ErrnoException, program: string): Error {
  if (error.code !== 'ENOENT') return error;
  const install = 'npm install -g @google/gemini-cli';
  const message = `There is no program ${program}. Install it with: ${install}, or name its path in command.`;
  return new StompError('PROVIDER_MISSING', message, { fields: { program, command: install } });
}

function collect(child: ChildProcessWithoutNullStreams): () => string {
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-keptErrorChars);
  });
  return () => text.trim();
}

/** @throws ProviderFailure */
function checkExit({ code, signal }: Exit, complaint: string): void {
  if (code === 0) return;
  if (signal) throw new ProviderFailure(`gemini was ended by ${signal}`, { passing: true });
  throw geminiFailure(
    complaint === '' ? `gemini ended with ${code}` : `gemini ended with ${code}: ${complaint}`,
  );
}

/** The program tells the HTTP status of what went wrong within its words only. */
export function geminiFailure(message: string): ProviderFailure {
  const [, found] = /(?:"?code"?|status):?\s*(\d{3})\b/i.exec(message) ?? [];
  const status = found === undefined ? undefined : Number(found);
  return new ProviderFailure(message, { status, passing: status !== undefined && isPassing(status) });
}

/** The program and all it has started: asked first, then made to. */
function endGroup(child: ChildProcessWithoutNullStreams): void {
  const { pid } = child;
  if (pid === undefined) return;
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (process.platform === 'win32') child.kill(signal);
      else process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // all have ended
    }
  };
  kill('SIGTERM');
  setTimeout(() => kill('SIGKILL'), graceMs);
}
