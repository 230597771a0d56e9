/** The token of whoever opens gates: made at random, kept from others, gone with its server. */
import {
  existsSync,
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
import {
  findApproverToken,
  keepApproverToken,
  newApproverToken,
  stateFolder,
} from '../../../ts/cli/approver-token.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-token-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the approver token', () => {
  it('has 32 random bytes', () => {
    const tokens = new Set(Array.from({ length: 100 }, newApproverToken));
    expect(tokens.size).toBe(100);
    for (const token of tokens) expect(Buffer.from(token, 'base64url')).toHaveLength(32);
  });

  it('lies in a file that only its owner can read, in a folder that is made for it', async () => {
    const place = join(folder, 'a', 'b');
    const token = newApproverToken();
    const { path, remove } = await keepApproverToken(place, token);
    expect(readFileSync(path, 'utf8')).toBe(`${token}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(place).mode & 0o777).toBe(0o700);
    expect(readdirSync(place)).toEqual(['approver-token']);
    await remove();
    expect(existsSync(path)).toBe(false);
    await remove();
  });

  it('takes the place of one that was left behind, whatever that is', async () => {
    const path = join(folder, 'approver-token');
    const elsewhere = join(folder, 'elsewhere');
    writeFileSync(elsewhere, 'old', { mode: 0o644 });
    symlinkSync(elsewhere, path);
    await keepApproverToken(folder, newApproverToken());
    expect(readFileSync(elsewhere, 'utf8')).toBe('old');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is not removed by a server whose place another has taken', async () => {
    const first = await keepApproverToken(folder, newApproverToken());
    const token = newApproverToken();
    const second = await keepApproverToken(folder, token);
    await first.remove();
    expect(readFileSync(second.path, 'utf8')).toBe(`${token}\n`);
  });

  it('that cannot be kept says where', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(keepApproverToken(join(folder, 'file'), newApproverToken())).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
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
    await keepApproverToken(folder, 'from-a-server');
    expect(await findApproverToken({ environment: {}, settings: settings() })).toBe('from-a-server');
  });

  it.each(['absent', 'empty'])('and is told when the named file is %s', async (name) => {
    writeFileSync(join(folder, 'empty'), '\n');
    const found = findApproverToken({ file: join(folder, name), environment: {}, settings: settings() });
    await expect(found).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
