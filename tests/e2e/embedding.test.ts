/** The servers of docs/examples, each as a process of its own that has the package installed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { temporaryFolder, until } from './server-process.js';

const root = join(import.meta.dirname, '../..');
const running = new Set<ChildProcess>();

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});

/** A project of somebody else's: the example, and what it has installed. */
function project(example: string): string {
  const folder = temporaryFolder();
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  symlinkSync(root, join(modules, 'stomp-serve'), 'dir');
  for (const name of ['express', 'fastify'])
    symlinkSync(join(root, 'node_modules', name), join(modules, name), 'dir');
  const script = join(folder, 'server.mjs');
  copyFileSync(join(root, 'docs/examples', example), script);
  return script;
}

interface Running {
  readonly url: string;
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  /** What it said on both outputs. */
  said(): string;
}

async function start(example: string): Promise<Running> {
  const script = project(example);
  const home = temporaryFolder();
  // Agents are saved in a home of its own; models are where they always are.
  const models = process.env['STOMP_MODEL_DIR'] ?? join(homedir(), '.stomp-serve', 'models');
  const child = spawn(process.execPath, [script], {
    cwd: home,
    env: { ...process.env, HOME: home, STOMP_MODEL_DIR: models, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let text = '';
  for (const output of [child.stdout, child.stderr]) output.on('data', (data: Buffer) => (text += data));
  const url = (): string | undefined => /^http:\S+$/m.exec(text)?.[0];
  const ended = once(child, 'exit');
  await until(() => url() !== undefined || child.exitCode !== null, 'it listens', 120_000);
  if (url() === undefined) throw new Error(`it has ended:\n${text}`);
  return { url: String(url()), child, ended, said: () => text };
}

const ask = (url: string, fields: object) =>
  fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Count to ten.' }], ...fields }),
  });

describe.each(['node-http.mjs', 'fastify.mjs', 'express.mjs'])('the example %s', (example) => {
  it('answers below its prefix, and ends by itself once a running stream is complete', async () => {
    const { url, child, ended, said } = await start(example);
    expect(await (await fetch(new URL('/', url))).text()).toBe('Hello\n');
    expect((await fetch(new URL('/nowhere', url))).status).toBe(404);
    const whole = (await (await ask(url, { max_tokens: 8 })).json()) as {
      choices: { message: { content: string } }[];
    };
    expect(whole.choices[0]?.message.content).not.toBe('');

    const stream = await ask(url, { max_tokens: 60, ignore_eos: true, stream: true });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) throw new Error('no body');
    let text = (await reader.read()).value ?? '';
    child.kill('SIGTERM');
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    const complete = performance.now();
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text.match(/^data: /gm)?.length).toBeGreaterThan(30);

    await ended;
    expect([child.exitCode, child.signalCode, said().replace(url, '').trim()]).toEqual([0, null, '']);
    // The client keeps its connection open, which holds nobody up.
    expect(performance.now() - complete).toBeLessThan(3000);
  });
});
