/** Gemini's program, played by a script that speaks its lines. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../../ts/clutch/conversation.js';
import { deaf, listener, open, rain, rainEvents, request, weather } from './doubles.js';

const command = join(import.meta.dirname, 'fake-gemini.mjs');
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'stomp-fake-gemini-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

interface Call {
  readonly args: string[];
  readonly prompt: string;
  readonly resumed?: string;
  readonly system?: string;
  readonly variables: string[];
  readonly pids: number[];
}

function calls(): Call[] {
  const log = join(home, 'calls.jsonl');
  if (!existsSync(log)) return [];
  return readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Call);
}

function gemini(options = {}, environment = {}) {
  const { PATH } = process.env;
  return open('gemini-cli', { command, ...options }, { environment: { PATH, HOME: home, ...environment } });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A process that has ended, and that nobody has asked about yet.
  const status = `/proc/${pid}/stat`;
  return !existsSync(status) || !/\) Z /.test(readFileSync(status, 'utf8'));
}

describe("Gemini's program", () => {
  it('is asked on its standard input, and its lines are told as they come', async () => {
    const { heard, onEvent } = listener();
    const text = `A ${'long '.repeat(100_000)}prompt; with $(no shell)`;
    const answer = await gemini({}, { SECRET: 'x' }).send(
      request({ context: ['A file.'], messages: [{ role: 'user', text }] }),
      onEvent,
    );
    expect(heard).toEqual(rainEvents);
    expect(answer).toEqual(rain({ input: 9, cached: 4, output: 3 }));
    const [call] = calls();
    expect(call).toMatchObject({ prompt: text, system: 'Be brief.\n\nA file.' });
    expect(call?.args.join(' ')).toContain('--output-format stream-json --model m --approval-mode default');
    expect(call?.variables).not.toContain('SECRET');
  });

  it('goes on with its session, told only what is new', async () => {
    const provider = gemini();
    const messages: Message[] = [{ role: 'user', text: 'One' }];
    const { text } = await provider.send(request({ messages }), deaf);
    messages.push({ role: 'assistant', text, calls: [] }, { role: 'user', text: 'Two' });
    await provider.send(request({ messages }), deaf);
    expect(calls()[1]).toMatchObject({ resumed: 'session-1', prompt: 'Two' });
  });

  it('begins anew where the conversation is another one', async () => {
    const provider = gemini();
    await provider.send(request(), deaf);
    const messages: Message[] = [
      { role: 'user', text: 'Not what was asked' },
      { role: 'assistant', text: 'No.', calls: [] },
      { role: 'user', text: 'Two' },
    ];
    await provider.send(request({ messages }), deaf);
    await provider.send(request({ agentId: 'bob' }), deaf);
    const [, second, third] = calls();
    expect(second).toMatchObject({ prompt: 'User:\nNot what was asked\n\nYou:\nNo.\n\nUser:\nTwo' });
    expect([second?.resumed, third?.resumed]).toEqual([undefined, undefined]);
  });

  it('is asked again after a failure that passes, and its key is told to nobody', async () => {
    const planted = 'sk-planted-0123456789';
    const provider = gemini({ keyEnv: 'A_KEY' }, { A_KEY: planted });
    const { heard, onEvent } = listener();
    const messages: Message[] = [{ role: 'user', text: 'fail once' }];
    expect((await provider.send(request({ messages }), onEvent)).text).toBe('It rains.');
    const retry = heard.find(({ type }) => type === 'retry');
    expect(retry).toMatchObject({ attempt: 2, reason: expect.stringContaining('[key]') });
    expect(JSON.stringify(heard)).not.toContain(planted);
  });

  it('says why it failed for good', async () => {
    const messages: Message[] = [{ role: 'user', text: 'refuse' }];
    await expect(gemini().send(request({ messages }), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_FAILED',
      message: expect.stringContaining('No such model'),
    });
    expect(calls()).toHaveLength(1);
  });

  it('ends with all it has started when it is aborted', async () => {
    const stop = new AbortController();
    const messages: Message[] = [{ role: 'user', text: 'hang' }];
    const provider = gemini();
    const asking = provider.send(request({ messages, signal: stop.signal }), () => stop.abort());
    await expect(asking).rejects.toMatchObject({ code: 'CANCELLED' });
    const pids = calls()[0]?.pids ?? [];
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.filter(isAlive)).toEqual([]);
  });

  it('takes no tools, and says what does', async () => {
    expect(gemini().takesTools).toBe(false);
    await expect(gemini().send(request({ tools: [weather] }), deaf)).rejects.toMatchObject({
      code: 'UNSUPPORTED_FIELD',
    });
    expect(calls()).toEqual([]);
  });

  it('is told how to be had where it is missing', async () => {
    const provider = gemini({ command: join(home, 'no-such-program') });
    await expect(provider.send(request(), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_MISSING',
      message: expect.stringContaining('npm install -g @google/gemini-cli'),
    });
  });
});
