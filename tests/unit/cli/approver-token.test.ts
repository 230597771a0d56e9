/** The token of whoever opens gates: made at random, kept from others, shared by servers, gone with the last of them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findApproverToken, stateFolder } from '../../../ts/cli/approver-token.js';
import { newApproverToken, takeApproverToken } from '../../../ts/cli/shared-token.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-token-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = () => join(folder, 'approver-token');
const kept = () => readFileSync(path(), 'utf8').trim();

async function keep(place = folder) {
  const taken = await takeApproverToken(place);
  await taken.keep();
  return taken;
}

/** As a server that has this number left it. */
function markOf(pid: number, token: string): string {
  mkdirSync(`${path()}.servers`, { recursive: true });
  const mark = join(`${path()}.servers`, `${pid}.0123abcd`);
  writeFileSync(mark, `${token}\n`);
  writeFileSync(path(), `${token}\n`, { mode: 0o600 });
  return mark;
}

describe('the approver token', () => {
  it('has 32 random bytes', () => {
    const tokens = new Set(Array.from({ length: 100 }, newApproverToken));
    expect(tokens.size).toBe(100);
    for (const token of tokens) expect(Buffer.from(token, 'base64url')).toHaveLength(32);
  });

  it('lies in a file that only its owner can read, in a folder that is made for it', async () => {
    const place = join(folder, 'a', 'b');
    const { path, token, leave } = await keep(place);
    expect(readFileSync(path, 'utf8')).toBe(`${token}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(place).mode & 0o777).toBe(0o700);
    const marks = join(place, 'approver-token.servers');
    expect(readdirSync(place).sort()).toEqual(['approver-token', 'approver-token.servers']);
    for (const mark of readdirSync(marks)) expect(statSync(join(marks, mark)).mode & 0o777).toBe(0o600);
    await leave();
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(marks)).toEqual([]);
    await leave();
  });

  it('takes the place of one that was left behind, whatever that is', async () => {
    const elsewhere = join(folder, 'elsewhere');
    writeFileSync(elsewhere, 'old', { mode: 0o644 });
    symlinkSync(elsewhere, path());
    await keep();
    expect(readFileSync(elsewhere, 'utf8')).toBe('old');
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it('is shared by servers, and removed by the last of them', async () => {
    const first = await keep();
    const second = await keep();
    expect(second.token).toBe(first.token);
    await first.leave();
    expect(kept()).toBe(second.token);
    await second.leave();
    expect(existsSync(path())).toBe(false);
  });

  it('stays with the first server when a second one cannot start', async () => {
    const first = await keep();
    const second = await takeApproverToken(folder);
    await second.leave();
    expect(kept()).toBe(first.token);
  });

  it('is not in its file before the server has started', async () => {
    const taken = await takeApproverToken(folder);
    expect(existsSync(path())).toBe(false);
    await taken.leave();
    expect(existsSync(path())).toBe(false);
  });

  it('is one, however many servers begin at once', async () => {
    const taken = await Promise.all(Array.from({ length: 6 }, () => keep()));
    expect(new Set(taken.map(({ token }) => token))).toEqual(new Set([kept()]));
  });

  it('of a process that runs is shared, of one that is gone is not', async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: 'pipe' });
    await once(child, 'spawn');
    const theirs = newApproverToken();
    markOf(child.pid as number, theirs);
    const taken = await keep();
    expect(taken.token).toBe(theirs);
    await taken.leave();
    expect(kept()).toBe(theirs);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await takeApproverToken(folder)).token).not.toBe(theirs);
  });

  it('of the dead goes with their marks, also when their number has come back', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const marks = [pid, process.pid].map((dead) => markOf(dead, newApproverToken()));
    const taken = await keep();
    expect(kept()).toBe(taken.token);
    expect(marks.filter(existsSync)).toEqual([]);
  });

  it('that somebody else has put there is not removed', async () => {
    const { leave } = await keep();
    writeFileSync(path(), 'another');
    await leave();
    expect(kept()).toBe('another');
  });

  it('that cannot be kept says where', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(takeApproverToken(join(folder, 'file'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('lies beside the database, or at home where that is a server', () => {
    expect(stateFolder({ database: join(folder, 'stomp.db') })).toBe(folder);
    expect(stateFolder({ database: 'postgres://a:b@host/c' })).toMatch(/\.stomp-serve$/);
  });
});

describe('whoever decides finds it', () => {
  const settings = () => ({ database: join(folder, 'stomp.db') });

  it('in the file that is named, then in the environment, then beside the database', async () => {
    const named = join(folder, 'named');
    writeFileSync(named, 'from-a-file\n');
    const environment = { STOMP_APPROVER_TOKEN: 'from-the-environment' };
    expect(await findApproverToken({ file: named, environment, settings: settings() })).toBe('from-a-file');
    expect(await findApproverToken({ environment, settings: settings() })).toBe('from-the-environment');
    expect(await findApproverToken({ environment: {}, settings: settings() })).toBeUndefined();
    writeFileSync(path(), 'from-a-server\n');
    expect(await findApproverToken({ environment: {}, settings: settings() })).toBe('from-a-server');
  });

  it('or has a key: one that is named on the command line is used instead of what is set or lies there', async () => {
    writeFileSync(path(), 'from-a-server\n');
    const key = (onCommandLine: boolean) => ({ onCommandLine, read: async () => 'a-key' });
    const environment = { STOMP_APPROVER_TOKEN: 'from-the-environment' };
    const find = (onCommandLine: boolean, variables: Record<string, string>) =>
      findApproverToken({ key: key(onCommandLine), environment: variables, settings: settings() });
    expect(await find(true, environment)).toBe('a-key');
    expect(await find(false, environment)).toBe('from-the-environment');
    expect(await find(false, {})).toBe('a-key');
  });

  it.each(['absent', 'empty'])('and is told when the named file is %s', async (name) => {
    writeFileSync(join(folder, 'empty'), '\n');
    const found = findApproverToken({ file: join(folder, name), environment: {}, settings: settings() });
    await expect(found).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/--approver-token-file.*STOMP_APPROVER_TOKEN/),
    });
  });
});
