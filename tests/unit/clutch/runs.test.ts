/** Runs, with a real client library, a guard, files and scripts; only the model says what the test has written. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { verifyAudit } from '../../../ts/clutch/audit/verify.js';
import { TestClutch } from './open-test-clutch.js';
import { runScript, turns } from './scripted-model.js';

afterEach(() => {
  vi.useRealTimers();
});

const write = (path: string, content: string) => ({ name: 'write_file', args: { path, content } });

describe('a run', () => {
  it('ends with the words of its model', async () => {
    const test = await TestClutch.open(turns({ text: 'It rains today.' }));
    const { id } = await test.start('How is the weather?');
    const run = await test.clutch.ended(id);
    expect(run).toMatchObject({ status: 'done', state: { output: 'It rains today.', rounds: 0 } });
    const heard = [];
    for await (const event of test.clutch.bus.follow(0, AbortSignal.timeout(5000))) {
      heard.push(event);
      if (event.type === 'run_changed' && event.body.run.ended_at !== undefined) break;
    }
    expect(heard[0]?.type).toBe('run_started');
    expect(heard.flatMap((event) => (event.type === 'text' ? [event.body.text] : [])).join('')).toBe(
      'It rains today.',
    );
  });

  it('does nothing before a person has decided', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }));
    const { id } = await test.start('Make a file');
    const gate = await test.gate();
    expect(gate).toMatchObject({
      kind: 'confirm',
      tool: 'run_script',
      runId: id,
      payload: { script: 'touch made', base_dir: test.root, timeout_s: 60 },
    });
    await expect.poll(async () => (await test.clutch.run(id)).status).toBe('awaiting_approval');
    expect(existsSync(test.path('made'))).toBe(false);
    await test.approve();
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(existsSync(test.path('made'))).toBe(true);
  });

  it('runs what a person has made of a script, and keeps both', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('echo proposed > out')] }));
    const { id } = await test.start('Write');
    await test.approve({ script: 'echo edited > out' });
    await test.clutch.ended(id);
    expect(test.read('out')).toBe('edited\n');
    const audit = test.audit(id, 'cli.jsonl');
    expect(audit).toContain('.proposed.sh');
    expect(audit).toContain('.edited.sh');
    expect(test.audit(id)).toContain('echo proposed > out');
    expect(test.audit(id)).toContain('echo edited > out');
    const { auditHeads } = (await test.clutch.run(id)).state;
    const report = verifyAudit(`${test.folder}/audit/${id}`, auditHeads);
    expect(report.faults).toEqual([]);
    expect(report.entries).toBeGreaterThan(4);
  });

  it('whose last words are taken out of the audit shows it', async () => {
    const test = await TestClutch.open(turns({ text: 'It rains today.' }));
    const { id } = await test.start('Tell me about the weather');
    await test.clutch.ended(id);
    const folder = `${test.folder}/audit/${id}`;
    const heads = (await test.clutch.detail(id)).audit_heads;
    expect(verifyAudit(folder, heads)).toMatchObject({ faults: [] });
    const [first] = test.audit(id, 'comms.jsonl').split('\n');
    writeFileSync(`${folder}/comms.jsonl`, `${first}\n`);
    expect(verifyAudit(folder, heads).faults).toMatchObject([{ file: 'comms.jsonl', seq: 2 }]);
    rmSync(`${folder}/comms.jsonl`);
    expect(verifyAudit(folder, heads).faults).toMatchObject([{ file: 'comms.jsonl', seq: 2 }]);
  });

  it('tells the model why a call was rejected', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }));
    const { id } = await test.start('Make a file');
    await test.reject('Files are made by hand here.');
    await test.clutch.ended(id);
    expect(test.lastResults[0]).toContain('Files are made by hand here.');
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it('is told that nobody decided in time', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }));
    const { id } = await test.start('Make a file', { gateTimeoutMs: 50 });
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(test.lastResults[0]).toContain('in time');
    expect((await test.clutch.gates.list({ runId: id }))[0]?.status).toBe('expired');
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it('makes its calls in their order, and tells what each came to', async () => {
    const calls = [
      write('a.txt', 'one'),
      { name: 'read_file', args: { path: 'a.txt' } },
      runScript('cat a.txt'),
    ];
    const test = await TestClutch.open(turns({ calls }));
    const { id } = await test.start('Go', { gate: 'none' });
    await test.clutch.ended(id);
    expect(test.lastResults[1]).toBe('one');
    expect(test.lastResults[2]).toBe('[exit code 0]\none');
    expect(test.lastResults).toHaveLength(3);
  });

  it('that always asks for tools is stopped after ten rounds', async () => {
    const test = await TestClutch.open(() => ({ calls: [runScript('echo again >> count')] }));
    const { id } = await test.start('Go', { gate: 'none' });
    const run = await test.clutch.ended(id);
    expect(run).toMatchObject({ status: 'done', state: { rounds: 10, stopped: 'rounds' } });
    expect(run.state.output).toContain('10 rounds');
    expect(test.read('count').split('\n')).toHaveLength(11);
    expect(test.model.asked).toHaveLength(11);
  });

  it('cuts outputs of more than 8,000 characters', async () => {
    const test = await TestClutch.open(turns({ calls: [{ name: 'read_file', args: { path: 'long.txt' } }] }));
    test.write('long.txt', 'x'.repeat(8001));
    const { id } = await test.start('Read', { gate: 'none' });
    await test.clutch.ended(id);
    expect(test.lastResults[0]?.startsWith(`${'x'.repeat(8000)}\n[cut`)).toBe(true);
  });

  it('warns once of outputs of more than 500,000 bytes, and refuses calls then', async () => {
    const reads = Array.from({ length: 64 }, () => ({ name: 'read_file', args: { path: 'long.txt' } }));
    const test = await TestClutch.open(turns({ calls: reads }, { calls: reads.slice(0, 1) }));
    test.write('long.txt', 'x'.repeat(8000));
    const { id } = await test.start('Read', { gate: 'none' });
    await test.clutch.ended(id);
    const asked = test.model.asked[1] ?? [];
    const results = asked.flatMap(({ role, content }) => (role === 'tool' ? [content ?? ''] : []));
    expect(results.filter((text) => text.includes('[WARNING'))).toHaveLength(1);
    expect(results[62]).toContain('[WARNING');
    expect(results[63]).toContain('Refused');
    expect(test.lastResults[0]).toContain('Refused');
  });

  it.each([
    ['outside', '../outside.txt'],
    ['a history', 'x_history.toml'],
    ['an absolute path', '/etc/passwd'],
  ])('is refused %s, and that stands in the audit', async (_what, path) => {
    const test = await TestClutch.open(turns({ calls: [{ name: 'read_file', args: { path } }] }));
    const { id } = await test.start('Read');
    await test.clutch.ended(id);
    expect(test.lastResults[0]).toContain('PATH_DENIED');
    expect(test.audit(id)).toContain('"kind":"refused"');
    expect(test.audit(id)).toContain('PATH_DENIED');
  });

  it('is told of files that have changed, in full up to 200 lines and as a diff beyond', async () => {
    const test = await TestClutch.open(
      turns({ calls: [runScript('echo more >> short.txt; echo more >> long.txt')] }),
    );
    test.write('short.txt', 'line\n'.repeat(199));
    test.write('long.txt', 'line\n'.repeat(200));
    const { id } = await test.start('Go', {
      gate: 'none',
      fileItems: ['short.txt', 'long.txt'].map((f) => test.path(f)),
    });
    await test.clutch.ended(id);
    const result = test.lastResults[0] ?? '';
    expect(result).toContain('[SYSTEM: FILES UPDATED]');
    expect(result).toContain(`${'line\n'.repeat(199)}more`);
    expect(result).toContain('@@');
    expect(result.match(/line/g)?.length).toBeLessThan(220);
  });

  it('asks a person, and is told the answer', async () => {
    const ask = { name: 'ask_person', args: { question: 'Which?', choices: ['red', 'blue'] } };
    const test = await TestClutch.open(turns({ calls: [ask] }));
    const { id } = await test.start('Ask', { gate: 'none' });
    expect(await test.gate()).toMatchObject({ kind: 'ask', payload: { question: 'Which?', answer: null } });
    await expect(test.approve({ answer: 'green' })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await test.approve({ answer: 'blue' });
    await test.clutch.ended(id);
    expect(test.lastResults).toEqual(['blue']);
  });

  it('need not ask again for what a person has allowed for the folder', async () => {
    const test = await TestClutch.open(
      turns(
        { calls: [write('a.txt', '1')] },
        { calls: [write('b.txt', '2')] },
        { calls: [runScript('true')] },
      ),
    );
    const { id } = await test.start('Go');
    const { id: gate, revision } = await test.gate();
    const remember = { tool: 'write_file', folder: test.root };
    await test.clutch.gates.decide(gate, { decision: 'approve', revision, by: 'eve', remember });
    await expect.poll(() => existsSync(test.path('b.txt'))).toBe(true);
    expect((await test.gate()).tool).toBe('run_script');
    const [rule] = await test.clutch.gates.rules(id);
    await test.clutch.gates.revoke(rule?.id ?? '');
    await test.approve();
    await test.clutch.ended(id);
  });

  it('has its model call the tool that is named first, and then what it likes', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('true')] }));
    const { id } = await test.start('Go', { gate: 'none', firstTool: 'run_script' });
    await test.clutch.ended(id);
    const forced = { type: 'function', function: { name: 'run_script' } };
    expect(test.model.bodies.map((body) => body['tool_choice'])).toEqual([forced, undefined]);
    await expect(test.start('Go', { firstTool: 'no_such' })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  });

  it('leaves a file alone that nobody touches, and shows anew what has changed', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const test = await TestClutch.open(turns({ calls: [write('a.txt', 'new\n')] }));
    test.write('a.txt', 'old\n');
    await test.start('Go');
    const { id } = await test.gate();
    const read = vi.spyOn(test.options.files, 'read');
    for (let looks = 0; looks < 20; looks++) await vi.advanceTimersByTimeAsync(2000);
    expect(read.mock.calls.length).toBeLessThan(3);
    test.write('a.txt', 'other\n');
    await expect
      .poll(async () => {
        await vi.advanceTimersByTimeAsync(2000);
        return (await test.clutch.gates.get(id)).preview.diff;
      })
      .toContain('-other');
  });

  it.each([
    ['replaces', 'all', write('a.txt', 'new\n'), 'new\n'],
    ['replaces', 'step', write('a.txt', 'new\n'), 'new\n'],
    ['deletes', 'all', { name: 'delete_file', args: { path: 'a.txt' } }, undefined],
  ] as const)(
    '%s (%s) the file that was shown last, though it was another when it was proposed',
    async (_, gate, call, then) => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      const test = await TestClutch.open(turns({ calls: [call] }));
      test.write('a.txt', 'old\n');
      const { id } = await test.start('Go', { gate });
      await test.gate();
      test.write('a.txt', 'other\n');
      await expect
        .poll(async () => {
          await vi.advanceTimersByTimeAsync(2000);
          return (await test.gate()).preview.diff;
        })
        .toContain('-other');
      expect((await test.approve()).status).toBe('approved');
      await test.clutch.ended(id);
      expect(existsSync(test.path('a.txt')) ? test.read('a.txt') : undefined).toBe(then);
    },
  );

  it('waits for nobody else: others go on while it is at a gate', async () => {
    const test = await TestClutch.open((asked) => {
      const isHeld = asked.some(({ content }) => content === 'Held');
      return isHeld ? { calls: [runScript('true')] } : { text: 'one two three', pace: 5 };
    });
    await test.start('Held');
    await test.gate();
    const runs = await Promise.all(['a', 'b', 'c'].map((prompt) => test.start(prompt)));
    const ended = await Promise.all(runs.map(({ id }) => test.clutch.ended(id)));
    expect(ended.map(({ status }) => status)).toEqual(['done', 'done', 'done']);
  });

  it('ends with an error when its provider fails', async () => {
    const test = await TestClutch.open(() => (response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no","type":"invalid_request_error"}}');
    });
    const { id } = await test.start('Go');
    expect(await test.clutch.ended(id)).toMatchObject({
      status: 'error',
      error: { code: 'PROVIDER_FAILED' },
    });
  });
});

describe('a step', () => {
  it('shows all that a round would change at one gate, and runs it as it was edited', async () => {
    const calls = [write('a.txt', 'one'), { name: 'list_files', args: {} }, runScript('echo two > b.txt')];
    const test = await TestClutch.open(turns({ calls }));
    const { id } = await test.start('Go', { gate: 'step' });
    const gate = await test.gate();
    expect(gate.kind).toBe('step');
    const shown = gate.payload.calls as { tool: string; payload: Record<string, unknown> }[];
    expect(shown.map(({ tool }) => tool)).toEqual(['write_file', 'run_script']);
    const edited = shown.map((call) =>
      call.tool === 'run_script'
        ? { ...call, payload: { ...call.payload, script: 'echo three > b.txt' } }
        : call,
    );
    await test.approve({ calls: edited });
    await test.clutch.ended(id);
    expect(test.read('a.txt')).toBe('one');
    expect(test.read('b.txt')).toBe('three\n');
    expect(test.lastResults).toHaveLength(3);
  });

  it('takes no edit that leaves a field out, which would stay as it was', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('echo two > b.txt')] }));
    await test.start('Go', { gate: 'step' });
    const [call] = (await test.gate()).payload.calls as { payload: Record<string, unknown> }[];
    const { timeout_s: _, ...payload } = call?.payload ?? {};
    await expect(test.approve({ calls: [{ ...call, payload }] })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field: 'edits.calls[0].payload.timeout_s' },
    });
    expect((await test.gate()).status).toBe('pending');
  });

  it('that is rejected changes nothing', async () => {
    const test = await TestClutch.open(turns({ calls: [write('a.txt', 'one'), runScript('touch b.txt')] }));
    const { id } = await test.start('Go', { gate: 'step' });
    await test.reject('Not now');
    await test.clutch.ended(id);
    expect(test.lastResults.every((text) => text.includes('Not now'))).toBe(true);
    expect(existsSync(test.path('a.txt')) || existsSync(test.path('b.txt'))).toBe(false);
  });
});

describe('abort', () => {
  it('ends a run at its gate, and the gate', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }));
    const { id } = await test.start('Go');
    const gate = await test.gate();
    await test.clutch.abort(id, 'eve');
    expect((await test.clutch.ended(id)).status).toBe('aborted');
    expect((await test.clutch.gates.get(gate.id)).status).toBe('aborted');
    await expect(test.clutch.abort(id, 'eve')).rejects.toMatchObject({ code: 'RUN_ENDED' });
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it('ends the script that is running', async () => {
    const test = await TestClutch.open(
      turns({ calls: [runScript('echo began > began; sleep 60; touch made')] }),
    );
    const { id } = await test.start('Go', { gate: 'none' });
    await expect.poll(() => existsSync(test.path('began'))).toBe(true);
    await test.clutch.abort(id, 'eve');
    expect((await test.clutch.ended(id)).status).toBe('aborted');
    await test.clutch.close();
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it('at a gate ends the whole run', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('touch made')] }));
    const { id } = await test.start('Go');
    const gate = await test.gate();
    await test.clutch.gates.decide(gate.id, { decision: 'abort', revision: 1, by: 'eve' });
    expect((await test.clutch.ended(id)).status).toBe('aborted');
  });
});

describe('secrets', () => {
  it('are in no file of the audit, wherever they come from', async () => {
    const planted = 'correct-horse-battery-staple';
    const calls = [write('notes.txt', `remember ${planted}`), runScript(`echo ${planted}; cat notes.txt`)];
    const test = await TestClutch.open(turns({ text: `I know ${planted}.`, calls }), { secrets: [planted] });
    const { id } = await test.start(`The word is ${planted}`, { gate: 'none' });
    await test.clutch.ended(id);
    expect(test.read('notes.txt')).toContain(planted);
    await test.clutch.close();
    const folder = `${test.folder}/audit/${id}`;
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
    expect(files.length).toBeGreaterThan(4);
    expect(files.join('\n')).toContain('[redacted]');
    expect(files.join('\n')).not.toContain(planted);
    await test.reopen();
  });

  it('of the environment do not reach scripts', async () => {
    process.env.STOMP_TEST_API_KEY = 'planted-in-the-environment';
    try {
      const test = await TestClutch.open(turns({ calls: [runScript('env')] }));
      const { id } = await test.start('Go', { gate: 'none' });
      await test.clutch.ended(id);
      expect(test.lastResults[0]).toContain('PATH=');
      expect(test.lastResults[0]).not.toContain('STOMP_TEST_API_KEY');
    } finally {
      delete process.env.STOMP_TEST_API_KEY;
    }
  });
});
