// llama.cpp's own server over HTTP, with as many slots as agents: one server a context. Prompts are token ids; what a
// slot has seen of a conversation it takes from its cache.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { timed } from './stream.mjs';

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function call(url, body) {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}

const hasEnded = (child) => child.exitCode !== null || child.signalCode !== null;

async function ready(url, server) {
  for (let i = 0; i < 600; i++) {
    if (hasEnded(server)) {
      throw new Error(`llama-server ended with ${server.signalCode ?? `status ${server.exitCode}`}`);
    }
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100);
  }
  throw new Error('llama-server did not become ready within a minute');
}

/** Tokens of a stream of server-sent events. */
async function* tokensOf(response) {
  let rest = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('data: {')) yield JSON.parse(line.slice(6)).tokens ?? [];
    }
  }
}

/** @param {{ model: string, folder: string, options: { program: string, threads: number, flash: boolean, repack: boolean } }} task */
export async function open({ model, folder, options: { program, threads, flash, repack } }) {
  let server;
  let url = '';
  let free = [];
  let taken = new Map();
  // Where this process is ended before its time, its server ends too.
  process.once('exit', () => server?.kill('SIGKILL'));
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(1));

  async function stop() {
    if (!server || hasEnded(server)) return;
    server.kill('SIGKILL'); // it has nothing to save, and takes its time otherwise
    await once(server, 'exit');
  }
  async function start(slots, tokens) {
    await stop();
    const port = await freePort();
    const flags = {
      '--model': model,
      '--port': port,
      '--host': '127.0.0.1',
      '--threads': threads,
      '--parallel': slots,
      '--ctx-size': slots * Math.ceil(tokens / 256) * 256,
      '--batch-size': 512,
      '--flash-attn': flash ? 'on' : 'off',
      '--slot-save-path': folder,
      '--cache-ram': 0,
    };
    const switches = ['--no-kv-unified', ...(repack ? [] : ['--no-repack'])];
    server = spawn(program, [...Object.entries(flags).flat().map(String), ...switches], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    url = `http://127.0.0.1:${port}`;
    await ready(url, server);
    free = Array.from({ length: slots }, (_, i) => i);
    taken = new Map();
  }
  function place(slot) {
    const found = taken.get(slot) ?? free.shift();
    if (found === undefined) throw new Error('more slots than the server was started with');
    taken.set(slot, found);
    return found;
  }
  const action = (slot, name) =>
    call(`${url}/slots/${place(slot)}?action=${name}`, { filename: `${slot}.slot` });

  await start(1, 256);
  const tokenize = async (text) =>
    (await (await call(`${url}/tokenize`, { content: text, add_special: false })).json()).tokens;
  return {
    shares: false,
    encode: tokenize,
    context: ({ slots, tokens }) => start(slots, tokens),
    async generate(slot, prompt, maxTokens) {
      const startMs = performance.now();
      const response = await call(`${url}/completion`, {
        prompt,
        n_predict: maxTokens,
        id_slot: place(slot),
        cache_prompt: true,
        stream: true,
        return_tokens: true,
        ignore_eos: true,
        temperature: 0,
        samplers: ['top_k'],
        top_k: 1,
      });
      return timed(tokensOf(response), maxTokens, startMs);
    },
    async forget(slot) {
      await action(slot, 'erase');
      free.push(place(slot));
      taken.delete(slot);
    },
    save: (slot) => action(slot, 'save'),
    restore: (slot) => action(slot, 'restore'),
    close: stop,
  };
}
