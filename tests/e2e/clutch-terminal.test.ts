/** `stomp-serve run` at a terminal: whoever sits there is asked, and nothing is done that was not agreed to. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { runScript, type Script, turns } from '../unit/clutch/scripted-model.js';
import { RunningClutch } from './running-clutch.js';
import { main, temporaryFolder } from './server-process.js';
import { Terminal } from './terminal.js';

const prompt = '[a]pprove [e]dit [r]eject [x] abort: ';
const terminals: Terminal[] = [];
afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.kill();
});

/**
 * @param editor what an editor does to a payload, once for each time that it is opened
 * @param redirection of what the run puts out
 */
async function sitDown(script: Script, editor: readonly string[] = [], redirection = '') {
  const running = await RunningClutch.open(script);
  const folder = temporaryFolder();
  const editing = join(folder, 'editor.mjs');
  writeFileSync(
    editing,
    `import { readFileSync, rmSync, writeFileSync } from 'node:fs';
     const [path, todo] = [process.argv[2], ${JSON.stringify(join(folder, 'todo.json'))}];
     const [now, ...later] = JSON.parse(readFileSync(todo, 'utf8'));
     writeFileSync(todo, JSON.stringify(later));
     const payload = JSON.parse(readFileSync(path, 'utf8'));
     writeFileSync(path, now === 'broken' ? '{' : JSON.stringify(now === '' ? payload : { ...payload, script: now }));`,
  );
  writeFileSync(join(folder, 'todo.json'), JSON.stringify(editor));
  const line = [
    'exec',
    process.execPath,
    main,
    'run "Do it"',
    `--port ${new URL(running.server.url).port}`,
    `--base-dir ${running.root}`,
    `--approver-token-file ${running.tokenFile}`,
    redirection,
  ];
  const env = { PATH: process.env['PATH'], HOME: folder, EDITOR: `${process.execPath} ${editing}` };
  const terminal = new Terminal(line.join(' '), { cwd: folder, env });
  terminals.push(terminal);
  return { running, terminal, wrote: () => existsSync(join(running.root, 'done.txt')) };
}

/** Waits until it was asked so often, then answers. */
async function answer(terminal: Terminal, asked: number, keys: string): Promise<void> {
  await expect.poll(() => terminal.shown.split(prompt).length - 1).toBe(asked);
  terminal.press(keys);
}

it('is asked until there is an answer: what the editor made of it is what runs', async () => {
  const { running, terminal, wrote } = await sitDown(turns({ calls: [runScript('echo shown > done.txt')] }), [
    'broken',
    '',
    'echo edited > done.txt',
  ]);
  await answer(terminal, 1, 'what?\r');
  await answer(terminal, 2, 'e\r');
  await expect.poll(() => terminal.shown).toContain('nothing is decided');
  await answer(terminal, 3, 'e\r');
  await expect.poll(() => terminal.shown).toContain('Nothing was changed.');
  expect(wrote()).toBe(false);
  await answer(terminal, 4, 'e\r');
  expect(await terminal.exited()).toBe(0);
  expect(readFileSync(join(running.root, 'done.txt'), 'utf8')).toBe('edited\n');
  expect(terminal.shown).toContain('Done.');
});

it('says no, and the model hears why', async () => {
  let heard = '';
  const calls = turns({ calls: [runScript('echo no > done.txt')] });
  const { terminal, wrote } = await sitDown((asked) => {
    heard += asked.at(-1)?.content ?? '';
    return calls(asked);
  });
  await answer(terminal, 1, 'r\r');
  await expect.poll(() => terminal.shown).toContain('Why? ');
  terminal.press('Not on a Sunday\r');
  expect(await terminal.exited()).toBe(0);
  expect(heard).toContain('Not on a Sunday');
  expect(wrote()).toBe(false);
});

it('is not asked any longer when somebody else has decided', async () => {
  const { running, terminal, wrote } = await sitDown(turns({ calls: [runScript('echo x > done.txt')] }));
  await answer(terminal, 1, '');
  const { data } = await running.server.json<{ data: { id: string; revision: number }[] }>('/v1/approvals');
  const [gate] = data;
  await running.server.post(
    `/v1/approvals/${gate?.id}/resolve`,
    { decision: 'approve', revision: gate?.revision },
    running.person,
  );
  expect(await terminal.exited()).toBe(0);
  expect(terminal.shown).toContain('It is approved already.');
  expect(wrote()).toBe(true);
});

it('is asked for the runs, too, that the run begins', async () => {
  const { terminal, wrote } = await sitDown((asked) => {
    const isChild = asked.some(({ role, content }) => role === 'user' && content?.includes('Write the file'));
    if (asked.some(({ role }) => role === 'tool')) return { text: 'Done.' };
    if (isChild) return { calls: [runScript('echo child > done.txt')] };
    return { calls: [{ name: 'spawn_run', args: { role: 'writer', prompt: 'Write the file' } }] };
  });
  await answer(terminal, 1, 'a\r');
  await answer(terminal, 2, 'a\r');
  expect(await terminal.exited()).toBe(0);
  expect(wrote()).toBe(true);
});

it('is shown what it is asked about, also when what the run puts out goes elsewhere', async () => {
  const { terminal, wrote } = await sitDown(
    turns({ calls: [runScript('echo x > done.txt')] }),
    [],
    '> out.txt',
  );
  await answer(terminal, 1, 'a\r');
  expect(terminal.shown).toContain('script: echo x > done.txt');
  expect(await terminal.exited()).toBe(0);
  expect(terminal.shown).not.toContain('Done.');
  expect(wrote()).toBe(true);
});

it('takes no key for an answer that was pressed before the question was there', async () => {
  const first = 'until [ -e go ]; do sleep 0.05; done';
  const { running, terminal, wrote } = await sitDown(
    turns({ calls: [runScript(first), runScript('echo x > done.txt')] }),
  );
  await answer(terminal, 1, 'a\r');
  await expect.poll(() => terminal.shown).toContain('[run_script]');
  terminal.press('a\r');
  writeFileSync(join(running.root, 'go'), '');
  await answer(terminal, 2, 'r\r');
  await expect.poll(() => terminal.shown).toContain('Why? ');
  terminal.press('\r');
  expect(await terminal.exited()).toBe(0);
  expect(wrote()).toBe(false);
});

it('ends the run with Ctrl-C, at the question and while the model speaks', async () => {
  const asked = await sitDown(turns({ calls: [runScript('echo x > done.txt')] }));
  await answer(asked.terminal, 1, '\u0003');
  expect(await asked.terminal.exited()).toBe(1);
  expect(asked.terminal.shown).toContain('aborted');
  expect(asked.wrote()).toBe(false);

  const speaking = await sitDown(() => ({ text: 'word '.repeat(2000), pace: 50 }));
  await expect.poll(() => speaking.terminal.shown).toContain('word word');
  speaking.terminal.press('\u0003');
  expect(await speaking.terminal.exited()).toBe(1);
  const { data } = await speaking.running.server.json<{ data: { status: string }[] }>('/v1/runs');
  expect(data).toMatchObject([{ status: 'aborted' }]);
});

it('leaves it to others with Ctrl-D, and follows the run all the same', async () => {
  const { running, terminal } = await sitDown(turns({ calls: [runScript('echo x > done.txt')] }));
  await answer(terminal, 1, '\u0004');
  await expect.poll(() => terminal.shown).toContain('It waits: stomp-serve approve');
  const { data } = await running.server.json<{ data: { id: string; revision: number }[] }>('/v1/approvals');
  const [gate] = data;
  await running.server.post(
    `/v1/approvals/${gate?.id}/resolve`,
    { decision: 'reject', revision: gate?.revision },
    running.person,
  );
  expect(await terminal.exited()).toBe(0);
});
