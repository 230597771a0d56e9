#!/usr/bin/env node
/**
 * Stands in for the `gemini` program: speaks the lines of `--output-format stream-json`. Notes how it was called in
 * the folder that HOME names. What the prompt asks for decides what it does.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const args = process.argv.slice(2);
const { HOME = '.', GEMINI_SYSTEM_MD: system } = process.env;
const prompt = readFileSync(0, 'utf8');
const log = join(HOME, 'calls.jsonl');
const earlier = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0;
const resumed = args.includes('--resume') ? args[args.indexOf('--resume') + 1] : undefined;
const child = prompt.includes('hang') ? spawn('sleep', ['600'], { stdio: 'ignore' }) : undefined;
const call = {
  args,
  prompt,
  resumed,
  system: system && readFileSync(system, 'utf8'),
  variables: Object.keys(process.env),
  pids: [process.pid, ...(child ? [child.pid] : [])],
};
appendFileSync(log, `${JSON.stringify(call)}\n`);

function say(line) {
  process.stdout.write(`${JSON.stringify({ timestamp: new Date().toISOString(), ...line })}\n`);
}

say({ type: 'init', session_id: resumed ?? `session-${earlier + 1}`, model: 'm' });
say({ type: 'message', role: 'user', content: prompt });
say({ type: 'message', role: 'assistant', content: 'It ', delta: true });

if (prompt.includes('fail once') && earlier === 0) {
  process.stderr.write(`{"error":{"code":503,"message":"Not with ${process.env.GEMINI_API_KEY}"}}\n`);
  process.exit(1);
}
if (prompt.includes('refuse')) {
  say({ type: 'result', status: 'error', error: { type: 'Error', message: 'No such model' } });
  process.exit(1);
}
if (!prompt.includes('hang')) {
  process.stdout.write('Loaded cached credentials.\n');
  say({ type: 'message', role: 'assistant', content: 'rains.', delta: true });
  const stats = {
    total_tokens: 12,
    input_tokens: 9,
    output_tokens: 3,
    cached: 4,
    input: 5,
    duration_ms: 1,
    tool_calls: 0,
  };
  say({ type: 'result', status: 'success', stats });
}
