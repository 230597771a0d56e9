// The side with HTTP: a server process, and clients on plain connections that only count events.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { question, tokensOfAnswer } from './work.mjs';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** A pool that is soon filled, so that memory which grows later is none of its. */
const limits = ['--cache-budget-mb', '256', '--log-level', 'warn'];
const connections = new Agent({ keepAlive: true });

/** @param more arguments for `serve` */
export async function startServer(model, more = []) {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
  const args = ['serve', '--port', '0', '--model', model, '--cache-dir', folder, ...limits, ...more];
  const child = spawn(process.execPath, [main, ...args, '--database', join(folder, 'stomp.db')], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  let said = '';
  for await (const data of child.stdout.iterator({ destroyOnReturn: false })) {
    said += data;
    if (said.includes('Ready.')) break;
  }
  child.stdout.resume();
  const url = /^ +url +(http:\S+)$/m.exec(said)?.[1];
  if (!url) throw new Error(`The server did not start:\n${said}`);
  const close = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const run = (streams, ms) => serveTokens(url, streams, ms);
  return { url, pid: child.pid, run, close };
}

function stream(url, number, turn, onToken) {
  const body = JSON.stringify({
    messages: [{ role: 'user', content: question(number, turn) }],
    max_tokens: tokensOfAnswer,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  const headers = { 'content-type': 'application/json', 'x-agent-id': `bench-${number}` };
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: connections });
    sent.once('error', reject).end(body);
    sent.once('response', (response) => {
      let tail = '';
      response.setEncoding('utf8').on('data', (text) => {
        tail = (tail + text).slice(-64);
        onToken(text.split('"delta":{"content"').length - 1);
      });
      response.once('error', reject).once('end', () => {
        if (response.statusCode === 200 && tail.endsWith('data: [DONE]\n\n')) resolve();
        else reject(new Error(`${response.statusCode}, not complete: ${tail}`));
      });
    });
  });
}

/** Tokens that `streams` clients got in `ms`, and in all until the last answer was complete; some have no text of their own, and are counted by the share that has. */
async function serveTokens(url, streams, ms) {
  const end = performance.now() + ms;
  let inTime = 0;
  let pieces = 0;
  let answers = 0;
  const count = (tokens) => {
    pieces += tokens;
    if (performance.now() < end) inTime += tokens;
  };
  const client = async (number) => {
    for (let turn = 0; performance.now() < end; turn++, answers++) await stream(url, number, turn, count);
  };
  await Promise.all(Array.from({ length: streams }, (_, i) => client(i)));
  const all = answers * tokensOfAnswer;
  return { tokens: inTime * (all / pieces), all, answers };
}

export async function metric(url, name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length));
}
