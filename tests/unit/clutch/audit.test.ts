import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RunAudit, type RunAuditOptions } from '../../../ts/clutch/audit/run-audit.js';
import { verifyAudit } from '../../../ts/clutch/audit/verify.js';

describe('the audit of a session', () => {
  let folder: string;
  let audit: RunAudit;
  const open = (options: Partial<RunAuditOptions> = {}) => RunAudit.open({ folder, ...options });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-audit-'));
    audit = open({ secrets: ['planted-known'] });
  });
  afterEach(async () => {
    await audit.close();
    rmSync(folder, { recursive: true });
  });

  const at = (name: string) => join(folder, name);
  const text = (name: string) => readFileSync(at(name), 'utf8');
  const lines = (name: string) => text(name).trimEnd().split('\n');
  const say = (payload: unknown) =>
    audit.comms({ direction: 'out', kind: 'request', provider: 'engine', model: 'm', payload });
  const toolCall = (output: string) =>
    audit.toolCall({
      id: 'c1',
      name: 'run_script',
      payload: { script: 'x' },
      output,
      failed: false,
      durationMs: 5,
    });
  const reopen = async (options: Partial<RunAuditOptions> = {}) => {
    await audit.close();
    audit = open(options);
  };

  it('says what went where, and when, to the millisecond', () => {
    say({ text: 'hello' });
    expect(JSON.parse(text('comms.jsonl'))).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      direction: 'out',
      kind: 'request',
      provider: 'engine',
      model: 'm',
      payload: { text: 'hello' },
      seq: 1,
      chain: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 1 });
    expect(statSync(at('comms.jsonl')).mode & 0o77).toBe(0);
  });

  it('has no secret in any of its files', () => {
    const secret = {
      headers: { authorization: 'planted-1' },
      text: 'the planted-known, sk-planted-0123456789abcdef',
    };
    say(secret);
    audit.http({ method: 'POST', ...secret });
    audit.cli({ command: 'env', env: { A_TOKEN: 'planted-2' }, stdout: secret.text });
    toolCall(secret.text);
    audit.script({ callId: 'c1', proposed: `echo ${secret.text}`, edited: 'export API_KEY=planted-3' });
    const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const all = names.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8')).join('\n');
    expect(names.length).toBe(6);
    expect(all).not.toContain('planted');
    expect(all).toContain('[redacted]');
  });

  it('keeps a script as it was proposed and as it was edited', () => {
    const names = audit.script({ callId: 'c1', proposed: 'echo model\n', edited: 'echo person\n' });
    expect(names.map((name) => text(`scripts/${name}`))).toEqual(['echo model\n', 'echo person\n']);
    expect(verifyAudit(folder).faults).toEqual([]);
    writeFileSync(at(`scripts/${names[1]}`), 'echo other\n');
    rmSync(at(`scripts/${names[0]}`));
    expect(verifyAudit(folder).faults).toMatchObject([
      { seq: 1, problem: 'The script is missing.' },
      { seq: 2, problem: 'The script was changed.' },
    ]);
  });

  it('is not led astray by an output that looks like a seal', () => {
    toolCall(`<!-- entry 1, chain ${'0'.repeat(64)} -->\n\n`);
    toolCall('second');
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 2 });
    writeFileSync(at('toolcalls.md'), text('toolcalls.md').replace('second', 'other'));
    expect(verifyAudit(folder).faults).toMatchObject([{ file: 'toolcalls.md', seq: 2 }]);
  });

  describe('finds a line that is', () => {
    const edit = (change: (all: string[]) => string[]) => {
      for (let n = 1; n <= 5; n++) say({ n });
      writeFileSync(at('comms.jsonl'), `${change(lines('comms.jsonl')).join('\n')}\n`);
      return verifyAudit(folder).faults.map(({ seq }) => seq);
    };

    it('changed', () => {
      expect(edit((all) => all.map((line) => line.replace('{"n":3}', '{"n":4}')))).toEqual([3]);
    });
    it('missing', () => expect(edit((all) => all.filter((_, n) => n !== 2))).toEqual([4]));
    it('missing at the beginning', () => expect(edit((all) => all.slice(1))).toEqual([2]));
    it('in another place', () => {
      expect(edit(([a = '', b = '', c = '', ...rest]) => [a, c, b, ...rest])).toEqual([3, 2, 4]);
    });
    it('there twice', () => expect(edit(([a = '', ...rest]) => [a, a, ...rest])).toEqual([1]));
    it('no entry', () => expect(edit(([a = '', ...rest]) => [a, '{"n":9}', ...rest])).toEqual([2]));
  });

  it('missing at the end is found by whoever has kept where the chain was', async () => {
    say(1);
    const before = await audit.sync();
    say(2);
    const heads = await audit.sync();
    truncateSync(at('comms.jsonl'), Buffer.byteLength(`${lines('comms.jsonl')[0]}\n`));
    expect(verifyAudit(folder).faults).toEqual([]);
    expect(verifyAudit(folder, before).faults).toEqual([]);
    expect(verifyAudit(folder, heads).faults).toMatchObject([{ file: 'comms.jsonl', seq: 2 }]);
  });

  it('goes on with its chain in new files when one is full, also after it was opened again', async () => {
    await reopen({ maxFileBytes: 600 });
    for (let n = 1; n <= 4; n++) say({ n, text: '€'.repeat(50) });
    await reopen({ maxFileBytes: 600 });
    for (let n = 5; n <= 8; n++) say({ n, text: '€'.repeat(50) });
    const names = readdirSync(folder).filter((name) => name.startsWith('comms'));
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(statSync(at(name)).size).toBeLessThanOrEqual(600);
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 8 });
    rmSync(at('comms.0002.jsonl'));
    expect(verifyAudit(folder).faults.length).toBe(1);
  });

  it('goes on when a crash came between two files', async () => {
    await reopen({ maxFileBytes: 300 });
    for (let n = 1; n <= 3; n++) say({ n, text: 'x'.repeat(100) });
    rmSync(at('comms.jsonl'));
    await reopen();
    say('next');
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 3 });
  });

  it('goes on after half a line, cut within a character, and tells of it', async () => {
    say('one');
    toolCall('one');
    const half = Buffer.from('{"time":"2026-01-01","payload":"€').subarray(0, -1);
    appendFileSync(at('comms.jsonl'), half);
    appendFileSync(at('toolcalls.md'), '## half');
    expect(verifyAudit(folder).faults).toMatchObject([
      { file: 'comms.jsonl', seq: 2 },
      { file: 'toolcalls.md' },
    ]);
    await reopen();
    say('two');
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 5 });
    expect(lines('comms.jsonl').map((line) => JSON.parse(line) as object)).toMatchObject([
      { payload: 'one' },
      { kind: 'torn', bytes: half.length },
      { payload: 'two' },
    ]);
    expect(text('toolcalls.md')).toContain('## Half an entry was removed');
  });

  it('holds whatever a model writes, and loses nothing of it when it is opened again', async () => {
    say('one\u2028two\u2029three\u0085four\rfive');
    toolCall(`\u2028<!-- entry 9, chain ${'a'.repeat(64)} -->\n\n`);
    expect(verifyAudit(folder)).toEqual({ faults: [], entries: 2 });
    await reopen();
    say('later');
    expect(lines('comms.jsonl')).toHaveLength(2);
    expect(verifyAudit(folder, await audit.sync())).toEqual({ faults: [], entries: 3 });
  });

  it('takes away nothing but half an entry at the end, whatever was done to those before', async () => {
    for (let n = 1; n <= 4; n++) say({ n });
    const [first, ...rest] = lines('comms.jsonl');
    const damaged = Buffer.from(`${[first, '', ...rest].join('\n')}\n`);
    damaged[damaged.indexOf('{"n":2}') + 5] = 0xff;
    writeFileSync(at('comms.jsonl'), damaged);
    await reopen();
    say({ n: 5 });
    const now = readFileSync(at('comms.jsonl'));
    expect(now.subarray(0, damaged.length)).toEqual(damaged);
    expect(lines('comms.jsonl')).toHaveLength(6);
    expect(verifyAudit(folder).faults).toMatchObject([
      { seq: 2, problem: 'What stands here is no entry.' },
      { seq: 2, problem: 'It, or what stands before it, was changed.' },
    ]);
  });

  it('says so when it cannot be written', async () => {
    await audit.close();
    rmSync(at('cli.jsonl'));
    mkdirSync(at('cli.jsonl'));
    expect(() => open()).toThrow(expect.objectContaining({ code: 'LOG_UNWRITABLE' }));
    rmSync(at('cli.jsonl'), { recursive: true });
    audit = open();
  });
});
