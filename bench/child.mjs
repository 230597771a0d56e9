// Child processes that end when this one does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const running = new Set();

/** Ends every child at once. */
export function endChildren() {
  for (const child of running) child.kill('SIGTERM');
}

/**
 * Runs a program to its end.
 * @param {{ cwd: string, env?: Record<string, string>, timeoutMs?: number }} options timeoutMs: after that it is ended
 * @returns {Promise<string>} what it wrote to standard output
 * @throws Error with the end of its standard error
 */
export async function output(command, args, { cwd, env = {}, timeoutMs = 0 }) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const timer = timeoutMs > 0 ? setTimeout(() => child.kill(), timeoutMs) : undefined;
  let out = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors = (errors + text).slice(-4000);
  });
  try {
    const [code, signal] = await once(child, 'close');
    if (code !== 0) throw new Error(`ended with ${signal ?? `status ${code}`}\n${errors.trim()}`);
    return out;
  } finally {
    clearTimeout(timer);
    running.delete(child);
  }
}

/** The JSON objects among the lines of a program's output. */
export async function results(command, args, options) {
  const text = await output(command, args, options);
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}
