import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import { sha256 } from '../../../ts/file-text.js';
import { FencedError, StaleVersionError } from '../../../ts/guard/errors.js';
import { type FileCall, FileGuard } from '../../../ts/guard/files.js';
import type { Owner } from '../../../ts/guard/lock-table.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { rows } from '../../../ts/storage/storage.js';

const holder = (agentId: string): Owner => ({ agentId, sessionId: `${agentId}-1` });
const as = (agentId: string, more: Partial<FileCall> = {}): FileCall => ({ ...holder(agentId), ...more });
const ann: FileCall = as('ann');
const patient = { maxWaitMs: 15_000 };
const code = (error: StompError) => error.code;

describe('file guard', () => {
  let base: string;
  let root: string;
  let maasl: Maasl;
  let files: FileGuard;
  const at = (name: string) => join(root, name);
  const text = (name: string) => readFileSync(at(name), 'utf8');

  beforeEach(async () => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-files-')));
    root = join(base, 'project');
    mkdirSync(root);
    maasl = await Maasl.open({ database: join(base, 'stomp.db') });
    files = await FileGuard.open(maasl, { roots: [root], maxFileBytes: 1000 });
  });
  afterEach(async () => {
    await maasl.close();
    rmSync(base, { recursive: true });
  });

  /** Nothing staged is left behind, and nothing is locked. */
  async function tidy(): Promise<void> {
    const names = readdirSync(root, { recursive: true }) as string[];
    expect(names.filter((name) => name.endsWith('.stomp'))).toEqual([]);
    expect(await maasl.locks.snapshot()).toEqual([]);
  }

  it('writes, reads and appends, with the hash of what is there', async () => {
    const written = await files.write(at('a.txt'), 'one\n', {}, ann);
    expect(written).toMatchObject({ path: at('a.txt'), sha256: sha256('one\n'), bytes: 4 });
    expect(written.token).toBeGreaterThan(0n);
    const appended = await files.write(at('a.txt'), 'two\n', { mode: 'append' }, as('bob'));
    expect(appended.sha256).toBe(sha256('one\ntwo\n'));
    expect(appended.token).toBeGreaterThan(written.token ?? 0n);
    expect(await files.read(at('a.txt'), {}, ann)).toEqual({
      path: at('a.txt'),
      content: 'one\ntwo\n',
      encoding: 'utf8',
      sha256: appended.sha256,
      bytes: 8,
    });
    await files.write(at('new.txt'), 'x', { mode: 'append' }, ann);
    expect(text('new.txt')).toBe('x');
    await tidy();
  });

  it('keeps the mode of a file', async () => {
    writeFileSync(at('run.sh'), '#!/bin/sh\n');
    chmodSync(at('run.sh'), 0o751);
    await files.edit(at('run.sh'), { oldText: 'sh\n', newText: 'bash\n' }, ann);
    expect(statSync(at('run.sh')).mode & 0o777).toBe(0o751);
  });

  it('edits what occurs as often as expected, and nothing else', async () => {
    await files.write(at('a.ts'), 'let a = 1;\nlet b = a;\n', {}, ann);
    const edit = (oldText: string, expectedReplacements?: number) =>
      files.edit(
        at('a.ts'),
        { oldText, newText: 'const', ...(expectedReplacements ? { expectedReplacements } : {}) },
        ann,
      );
    const twice = await edit('let').catch((e: StompError) => e);
    expect(twice).toMatchObject({ code: 'INVALID_REQUEST', fields: { found_replacements: 2 } });
    expect(await edit('var').catch(code)).toBe('INVALID_REQUEST');
    expect(await edit('').catch(code)).toBe('INVALID_REQUEST');
    expect(await edit('let', 2)).toMatchObject({ replacements: 2 });
    expect(text('a.ts')).toBe('const a = 1;\nconst b = a;\n');
    await files.edit(at('a.ts'), { oldText: 'a = 1', newText: '$& $1' }, ann);
    expect(text('a.ts')).toContain('const $& $1;');
    await tidy();
  });

  it('refuses to replace a file that is not what the caller has read', async () => {
    await files.write(at('a'), 'one', {}, ann);
    const stale = await files
      .write(at('a'), 'x', { expectedSha256: sha256('zero') }, ann)
      .catch((e: unknown) => e);
    expect(stale).toBeInstanceOf(StaleVersionError);
    expect((stale as StompError).fields).toEqual({
      file: at('a'),
      expected_version: sha256('zero'),
      current_version: sha256('one'),
    });
    expect(await files.write(at('a'), 'x', { expectedSha256: null }, ann).catch(code)).toBe('STALE_VERSION');
    expect(await files.write(at('b'), 'x', { expectedSha256: sha256('') }, ann).catch(code)).toBe(
      'STALE_VERSION',
    );
    expect(await files.delete(at('a'), { expectedSha256: sha256('x') }, ann).catch(code)).toBe(
      'STALE_VERSION',
    );
    await files.write(at('a'), 'two', { expectedSha256: sha256('one').toUpperCase() }, ann);
    await files.write(at('c'), 'new', { expectedSha256: null }, ann);
    expect(text('a')).toBe('two');
  });

  it('moves files and folders, one of many who want the same', async () => {
    await files.write(at('a'), 'one', {}, ann);
    const movers = ['bob', 'cid', 'dan'].map((agent) =>
      files.move(at('a'), at(`from-${agent}`), {}, as(agent, { mode: 'batch' })).catch(code),
    );
    const results = await Promise.all(movers);
    expect(results.filter((result) => typeof result === 'object').length).toBe(1);
    expect(results.filter((result) => result === 'NOT_FOUND').length).toBe(2);
    expect(results.find((result) => typeof result === 'object')).toMatchObject({
      sha256: sha256('one'),
      bytes: 3,
    });
    await files.mkdir(at('x/y'), ann);
    await files.write(at('x/y/z'), 'deep', {}, ann);
    await files.move(at('x'), at('w'), {}, ann);
    expect(text('w/y/z')).toBe('deep');
    await files.write(at('t1'), '1', {}, ann);
    await files.write(at('t2'), '2', {}, ann);
    expect(await files.move(at('t1'), at('t2'), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.move(at('t1'), at('w'), { overwrite: true }, ann).catch(code)).toBe('INVALID_REQUEST');
    await files.move(at('t1'), at('t2'), { overwrite: true }, ann);
    expect(text('t2')).toBe('1');
    expect(await files.move(at('w'), at('w/inside'), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    await tidy();
  });

  it('removes files and folders, and keeps everybody out of a folder meanwhile', async () => {
    mkdirSync(at('d/e'), { recursive: true });
    await files.write(at('d/e/f'), 'x', {}, ann);
    expect(await files.delete(at('d'), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    const inside = await maasl.stompGuard([{ resourceClass: 'CRIT_CODE', identifier: at('d/e/f') }], {
      ...as('bob'),
      intent: 'edit',
    });
    expect(await files.delete(at('d'), { recursive: true }, as('ann', { maxWaitMs: 0 })).catch(code)).toBe(
      'RESOURCE_BUSY',
    );
    await inside.release();
    const whole = await maasl.stompGuard([{ resourceClass: 'CRIT_CODE', identifier: `${at('d')}/` }], {
      ...as('bob'),
      intent: 'delete',
    });
    expect(await files.write(at('d/new'), 'x', {}, as('ann', { maxWaitMs: 0 })).catch(code)).toBe(
      'RESOURCE_BUSY',
    );
    await whole.release();
    await files.delete(at('d'), { recursive: true }, ann);
    expect(existsSync(at('d'))).toBe(false);
    expect(await files.delete(at('d'), {}, ann).catch(code)).toBe('NOT_FOUND');
    mkdirSync(at('empty'));
    await files.delete(at('empty'), {}, ann);
    await tidy();
  });

  it('stays within its roots, whatever leads out of them', async () => {
    writeFileSync(join(base, 'secret'), 's');
    symlinkSync(join(base, 'secret'), at('link'));
    symlinkSync(base, at('up'));
    symlinkSync(join(base, 'nowhere'), at('dangling'));
    mkdirSync(join(base, 'project-2'));
    const denied = [
      '../secret',
      'link',
      'up/secret',
      'up/new',
      'dangling',
      '../project-2/x',
      'a/../../secret',
    ].map((path) => [
      files.read(at(path), {}, ann).catch(code),
      files.write(at(path), 'x', {}, ann).catch(code),
      files.delete(at(path), {}, ann).catch(code),
    ]);
    expect(new Set(await Promise.all(denied.flat()))).toEqual(new Set(['PATH_DENIED']));
    expect(await files.write(join(base, 'secret'), 'x', {}, ann).catch(code)).toBe('PATH_DENIED');
    expect(await files.delete(root, { recursive: true }, ann).catch(code)).toBe('PATH_DENIED');
    expect(await files.move(root, at('x'), {}, ann).catch(code)).toBe('PATH_DENIED');
    // Looked up folder by folder, it would take hours.
    expect(await files.read(at('a/'.repeat(1e6)), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(readFileSync(join(base, 'secret'), 'utf8')).toBe('s');
    symlinkSync(root, at('self'));
    await files.write(at('self/inside'), 'x', {}, ann);
    expect(text('inside')).toBe('x');
  });

  it('refuses what is too large, binary, no file, or no text', async () => {
    expect(await files.write(at('a'), 'x'.repeat(1001), {}, ann).catch(code)).toBe('PAYLOAD_TOO_LARGE');
    writeFileSync(at('large'), 'x'.repeat(1001));
    expect(await files.read(at('large'), {}, ann).catch(code)).toBe('PAYLOAD_TOO_LARGE');
    await files.write(at('b'), 'x'.repeat(600), {}, ann);
    expect(await files.write(at('b'), 'x'.repeat(600), { mode: 'append' }, ann).catch(code)).toBe(
      'PAYLOAD_TOO_LARGE',
    );
    writeFileSync(at('binary'), Buffer.from([1, 0, 255]));
    expect(await files.read(at('binary'), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.edit(at('binary'), { oldText: 'a', newText: 'b' }, ann).catch(code)).toBe(
      'INVALID_REQUEST',
    );
    expect((await files.read(at('binary'), { encoding: 'base64' }, ann)).content).toBe('AQD/');
    await files.write(at('binary'), 'AQID', { encoding: 'base64' }, ann);
    expect([...readFileSync(at('binary'))]).toEqual([1, 2, 3]);
    mkdirSync(at('folder'));
    expect(await files.write(at('folder'), 'x', {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.read(at('folder'), {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.mkdir(at('binary'), ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.read(at('none'), {}, ann).catch(code)).toBe('NOT_FOUND');
    expect(await files.write(at('none/x'), 'x', {}, ann).catch(code)).toBe('NOT_FOUND');
    expect(await files.write(at('a'), 5 as never, {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.write(at('a'), 'a', { encoding: 'hex' as never }, ann).catch(code)).toBe(
      'INVALID_REQUEST',
    );
    for (const wrong of ['%', 'a', 'AQ']) {
      expect(await files.write(at('a'), wrong, { encoding: 'base64' }, ann).catch(code)).toBe(
        'INVALID_REQUEST',
      );
    }
    expect(await files.write(at('a'), 'a\ud800', {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.write(at('a'), 'a', { expected: 1 } as never, ann).catch(code)).toBe(
      'UNSUPPORTED_FIELD',
    );
    expect(await files.write('', 'a', {}, ann).catch(code)).toBe('INVALID_REQUEST');
    expect(await files.write(at('a'), 'a', {}, {} as never).catch(code)).toBe('INVALID_REQUEST');
    await tidy();
  });

  it('keeps what several calls of one session change at once', async () => {
    const lines = Array.from({ length: 10 }, (_, i) => `${i}\n`);
    await Promise.all(
      lines.map((line) => files.write(at('a'), line, { mode: 'append' }, as('ann', patient))),
    );
    const sorted = () => text('a').match(/.*\n/g)?.sort();
    expect(sorted()).toEqual(lines);
    const edits = lines.map((oldText, i) => ({ oldText, newText: `line ${i}\n` }));
    await Promise.all(edits.map((edit) => files.edit(at('a'), edit, as('ann', patient))));
    expect(sorted()).toEqual(edits.map(({ newText }) => newText));
    const moves = ['b', 'c'].map((to) => files.move(at('a'), at(to), {}, as('ann', patient)).catch(code));
    expect(await Promise.all(moves)).toContain('NOT_FOUND');
    await tidy();
  });

  it('takes every name that the file system takes', async () => {
    for (const name of ['字'.repeat(85), `${'😀'.repeat(63)}abc`, 'a'.repeat(255)]) {
      await files.write(at(name), 'x', {}, ann);
      await files.edit(at(name), { oldText: 'x', newText: 'y' }, ann);
      await files.delete(at(name), {}, ann);
    }
    await tidy();
  });

  it('refuses the write of a holder whose lease has passed on, and leaves the file alone', async () => {
    await files.write(at('a'), 'before', {}, ann);
    const resources = [{ resourceClass: 'CRIT_CODE', identifier: at('a') }];
    const stale = await maasl.locks.acquire(`code:${at('a')}`, { ...holder('ann'), ttlMs: 30 });
    const taken = await maasl.locks.acquire(`code:${at('a')}`, { ...holder('bob'), maxWaitMs: 2000 });
    await files.write(at('a'), 'of bob', {}, as('bob'));
    await expect(maasl.fences.accept(stale.tokens)).rejects.toBeInstanceOf(FencedError);
    await taken.release();
    await expect(maasl.fences.accept(stale.tokens)).rejects.toMatchObject({
      fields: {
        resource_key: `code:${at('a')}`,
        token: stale.tokens.get(`code:${at('a')}`)?.toString(),
        highest_token: taken.tokens.get(`code:${at('a')}`)?.toString(),
      },
    });
    const [token = 0n] = stale.tokens.values();
    expect(await files.write(at('a'), 'late', {}, as('ann', { token })).catch(code)).toBe('FENCED');
    expect(text('a')).toBe('of bob');
    await maasl.callWithStompGuard(() => undefined, resources, { ...ann, intent: 'look' });
  });

  it('lets a holder that names its token change several names at once', async () => {
    await files.mkdir(at('d'), ann);
    const lease = await maasl.locks.acquire(`code:${at('d')}`, holder('ann'));
    const [token = 0n] = lease.tokens.values();
    await files.move(at('d'), at('e'), {}, as('ann', { token }));
    expect(await files.delete(at('e'), {}, as('ann', { token })).catch(code)).toBe('FENCED');
    await lease.release();
  });

  it('removes what a lost holder has staged before anybody else holds the file', async () => {
    await files.write(at('a'), 'before', {}, ann);
    const key = `code:${at('a')}`;
    const stale = await maasl.locks.acquire(key, { ...holder('ann'), ttlMs: 30 });
    writeFileSync(at('.a.staged'), 'late');
    await maasl.fences.accept(stale.tokens, at('.a.staged'));
    const next = await maasl.locks.acquire(key, { ...holder('bob'), maxWaitMs: 2000 });
    expect(existsSync(at('.a.staged'))).toBe(false);
    await next.release();
  });

  it('keeps a late removal of a folder away from what others have written in it since', async () => {
    await files.mkdir(at('d'), ann);
    await files.write(at('d/a'), 'before', {}, ann);
    const keys = [`code:${at('d')}`, `code:${at('d')}/`];
    const stale = await maasl.locks.acquire(keys, { ...holder('ann'), ttlMs: 30 });
    mkdirSync(at('.d.bin'));
    await maasl.fences.accept(stale.tokens, at('.d.bin'));
    await files.write(at('d/a'), 'of bob', {}, as('bob', { maxWaitMs: 2000 }));
    expect(existsSync(at('.d.bin'))).toBe(false);
    await tidy();
  });

  it('needs a database to keep tokens in', async () => {
    const volatile = await Maasl.open();
    await expect(FileGuard.open(volatile, { roots: [root] })).rejects.toThrow(/database/);
    await expect(FileGuard.open(maasl, { roots: [] })).rejects.toThrow(/roots/);
    await volatile.close();
  });

  it('guards files with locks of this process alone, above every token that the database has seen', async () => {
    const { token = 0n } = await files.write(at('a'), 'x', {}, ann);
    const local = await Maasl.open({ database: join(base, 'stomp.db'), locks: 'memory' });
    const own = await FileGuard.open(local, { roots: [root] });
    const next = await own.write(at('a'), 'y', {}, as('bob'));
    expect(next.token).toBeGreaterThan(token);
    const lease = await maasl.locks.acquire('code:/else', holder('cid'));
    await lease.release();
    for (let i = 0; i < 5; i++) await own.write(at('a'), 'z', {}, as('bob'));
    const staged = await local.storage?.read(() => rows('SELECT path FROM stomp_staged'));
    expect(staged).toEqual([]);
    await local.close();
    const again = await Maasl.open({ database: join(base, 'stomp.db') });
    const shared = await FileGuard.open(again, { roots: [root] });
    expect(await shared.write(at('a'), 'of bob', {}, as('bob')).catch(code)).toMatchObject({ bytes: 6 });
    await again.close();
  });
});
