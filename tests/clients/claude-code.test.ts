/** Claude Code against the real engine: tools, thoughts, a sub-agent, several processes, a terminal, an interruption. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ScriptedServer, tinyChatModel } from '../e2e/scripted-process.js';
import { temporaryFolder } from '../e2e/server-process.js';
import { pause, type Terminal } from '../e2e/terminal.js';
import { qwen } from '../unit/engine/tools/templates.js';
import { ClaudeCode, installClaudeCode } from './claude-code.js';
import { type Exchange, Recorder } from './recorder.js';
import { codingScript } from './script.js';

const allowed = ['--allowedTools', 'Bash,Read,Edit,Agent', '--tools', 'Bash,Read,Edit,Agent'];

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

beforeAll(installClaudeCode);

interface Scene {
  readonly recorder: Recorder;
  readonly client: ClaudeCode;
}

async function scene(model: { name: string; folder?: string; thinks?: boolean }): Promise<Scene> {
  const project = temporaryFolder();
  const script = codingScript(project, model.thinks ?? false);
  const server = await ScriptedServer.start(script, {
    ...(model.folder === undefined ? {} : { model: model.folder }),
    cacheDir: temporaryFolder(),
  });
  ends.push(() => server.stop());
  const recorder = await Recorder.start(server.url);
  ends.push(() => recorder.close());
  const client = new ClaudeCode({ url: recorder.url, model: model.name, project });
  writeFileSync(join(client.project, 'calc.py'), '# marker-calc\nprint(2 - 3)\n');
  return { recorder, client };
}

/** What the usage of an answer's last event says. */
interface Usage {
  readonly prompt: number;
  readonly cached: number;
  readonly answer: number;
  readonly missReason: string | null;
}

function usageOf({ answer }: Exchange): Usage {
  const events = answer
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice('data: '.length)) as Record<string, unknown>);
  const usages = events.map((event) => event['usage'] ?? Object(event['message']).usage).filter(Boolean);
  const usage = Object.assign({}, ...(usages as object[])) as Record<string, number>;
  const { input_tokens: computed = 0, cache_read_input_tokens: cached = 0, output_tokens: said = 0 } = usage;
  const missReason = (usage as Record<string, unknown>)['cache_miss_reason'] as string | null;
  return { prompt: computed + cached, cached, answer: said, missReason };
}

function messagesOf({ body }: Exchange): { role: string; content: string | { type: string }[] }[] {
  return JSON.parse(body).messages;
}

/** What goes on within a turn: the request brings what a tool has returned. */
function isToolStep(exchange: Exchange): boolean {
  const last = messagesOf(exchange).findLast(({ role }) => role === 'user')?.content;
  return Array.isArray(last) && last.every(({ type }) => type === 'tool_result');
}

/** Agents in the order of their first requests, all of which were served. */
function byAgent(recorder: Recorder): Exchange[][] {
  const posts = recorder.exchanges.filter(({ method }) => method === 'POST');
  for (const { path, status, answer } of posts) expect(status, `${path}: ${answer}`).toBe(200);
  const agents = [...new Set(posts.map(({ agent }) => agent))];
  return agents.map((name) => posts.filter(({ agent }) => agent === name));
}

/** The last token of an answer may have no place in the cache yet. */
function expectCached(own: readonly Exchange[], isExempt: (exchange: Exchange) => boolean): void {
  const usages = own.map(usageOf);
  for (const [i, exchange] of own.slice(1).entries()) {
    const [before, usage] = [usages[i] as Usage, usages[i + 1] as Usage];
    if (isExempt(exchange)) expect(usage.missReason).toContain('leaves out earlier thoughts');
    else
      expect(usage.cached, JSON.stringify(usage)).toBeGreaterThanOrEqual(before.prompt + before.answer - 1);
  }
}

async function threeTurns({ client }: Scene): Promise<void> {
  const first = await client.print('Repair calc.py [u1]', allowed);
  expect(first).toEqual({ code: 0, out: 'Mended: it says 5 now. All of é, 包 and "quotes" stay.' });
  expect(readFileSync(join(client.project, 'calc.py'), 'utf8')).toContain('print(2 + 3)');
  const second = await client.print('Look for TODOs [u2]', ['-c', ...allowed]);
  expect(second).toEqual({ code: 0, out: 'Somebody found one TODO.' });
  const third = await client.print('Two things [u3]', ['-c', ...allowed]);
  expect(third).toEqual({ code: 0, out: 'Both are done.' });
}

describe('in print mode, three processes one after another', () => {
  it('works with tools and a sub-agent, each found in its cache to the last token', async () => {
    const at = await scene({ name: 'tiny-chat', folder: tinyChatModel() });
    await threeTurns(at);
    const [title, main, sub, ...others] = byAgent(at.recorder);
    expect(others).toEqual([]);
    expect([title, main, sub].map((own) => own?.length)).toEqual([1, 8, 2]);
    expectCached(main ?? [], () => false);
    expectCached(sub ?? [], () => false);
  });

  it('thinks, keeps its thoughts within a turn, and says that the template drops them after it', async () => {
    const at = await scene({ name: 'tiny-chat', folder: tinyChatModel(qwen), thinks: true });
    await threeTurns(at);
    const [, main = []] = byAgent(at.recorder);
    expect(main.filter(({ answer }) => answer.includes('"thinking_delta"'))).toHaveLength(8);
    expectCached(main, (exchange) => !isToolStep(exchange));
  });

  it('tells the user how long the prompt is and how long it may be', async () => {
    const { client } = await scene({ name: 'smollm2-135m' });
    const { code, out } = await client.print('Hi [u1]', []);
    expect(code).toBe(1);
    expect(out).toMatch(/Prompt is too long.*~2\d{4} tokens \(limit 8192\)/);
  });
});

describe('at a terminal', () => {
  it('goes on after an interruption where the cache was, and ends when told', async () => {
    const at = await scene({ name: 'tiny-chat', folder: tinyChatModel() });
    const terminal = at.client.terminal(allowed.map((arg) => `'${arg}'`));
    ends.push(() => terminal.kill());
    const told = async (text: string, mark = text) => {
      await terminal.say(text);
      const exchange = await at.recorder.find(mark, ({ state }) => state === 'done');
      await pause(1000);
      return exchange;
    };
    await started(terminal);
    await told('Repair calc.py [u1]', '[b1] done');
    await terminal.say('Count far [long]');
    const stopped = await at.recorder.find('[long]', ({ answer }) => answer.includes('word9'));
    terminal.press('\x1b');
    await at.recorder.find('[long]', ({ state }) => state === 'left');
    await pause(1000);
    const after = await told('Go on [after]');
    expect(after.agent).toBe(stopped.agent);
    expect(usageOf(after).cached).toBeGreaterThanOrEqual(usageOf(stopped).prompt);
    await terminal.say('/exit');
    expect(await terminal.exited()).toBe(0);
    byAgent(at.recorder);
  });
});

async function started(terminal: Terminal): Promise<void> {
  await expect.poll(() => terminal.shown, { timeout: 30_000 }).toContain('shortcuts');
  await pause(1000);
}
