import {
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../ts/clutch/conversation.js';
import { refresh, type TrackedFile, track } from '../../../ts/clutch/refresh.js';
import { stripStaleRefreshes, withRefresh } from '../../../ts/clutch/refresh-blocks.js';

const lines = (count: number) => Array.from({ length: count }, (_, at) => `line ${at + 1}\n`).join('');

describe('tracked files', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-refresh-')));
    file = join(folder, 'a.txt');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** As a run keeps them between rounds. */
  const stored = (files: readonly TrackedFile[]) => JSON.parse(JSON.stringify(files)) as TrackedFile[];

  it('say nothing as long as nothing changes', async () => {
    writeFileSync(file, 'same\n');
    const tracked = await track([file]);
    writeFileSync(file, 'same\n');
    const { block, files } = await refresh(stored(tracked));
    expect(block).toBeUndefined();
    expect((await refresh(files)).block).toBeUndefined();
  });

  it('of 200 lines are told in full, of 201 as a diff', async () => {
    const long = join(folder, 'long.txt');
    writeFileSync(file, lines(200));
    writeFileSync(long, lines(201));
    const tracked = await track([file, long]);
    writeFileSync(file, lines(200).replace('line 7\n', 'LINE 7\n'));
    writeFileSync(long, lines(201).replace('line 7\n', 'LINE 7\n'));
    const { block = '' } = await refresh(stored(tracked));
    expect(block.startsWith('[SYSTEM: FILES UPDATED]\n\n')).toBe(true);
    const [, whole = '', diff = ''] = block.split('### ');
    expect(whole).toBe(`${file} (changed, 200 lines)\n${lines(200).replace('line 7\n', 'LINE 7\n')}\n\n`);
    expect(diff).toContain(`${long} (changed, 201 lines)\n--- ${long}\n+++ ${long}\n@@ -4,7 +4,7 @@\n`);
    expect(diff).toContain('-line 7\n+LINE 7\n');
    expect(diff).not.toContain('line 100');
  });

  it('are found changed though their time and size are as before', async () => {
    writeFileSync(file, 'one\n');
    utimesSync(file, 1000, 1000);
    const tracked = await track([file]);
    writeFileSync(file, 'two\n');
    utimesSync(file, 1000, 1000);
    expect((await refresh(tracked)).block).toContain('two');
  });

  it('are named when they are deleted, created, made again, or no text any more', async () => {
    const created = join(folder, 'new.txt');
    const binary = join(folder, 'b.bin');
    writeFileSync(file, 'old\n');
    writeFileSync(binary, 'text');
    let { files, block = '' } = await refresh(await track([file, created, binary]));
    unlinkSync(file);
    writeFileSync(created, 'new\n');
    writeFileSync(binary, Buffer.from([0, 1]));
    ({ files, block = '' } = await refresh(stored(files)));
    expect(block).toContain(`### ${file} (deleted)`);
    expect(block).toContain(`### ${created} (created, 1 lines)\nnew\n`);
    expect(block).toContain(`### ${binary} (changed; it is no text`);
    writeFileSync(file, 'old\n');
    ({ files, block = '' } = await refresh(stored(files)));
    expect(block).toContain(`### ${file} (as it was given, again)`);
  });

  it('are told again with what changed later: the newest block is enough', async () => {
    const other = join(folder, 'b.txt');
    for (const path of [file, other]) writeFileSync(path, 'old\n');
    const tracked = await track([file, other]);
    writeFileSync(file, 'first\n');
    const first = await refresh(tracked);
    writeFileSync(other, 'second\n');
    const second = await refresh(stored(first.files));
    expect(first.block).not.toContain('second');
    expect(second.block).toContain('first');
    expect(second.block).toContain('second');
  });

  it('are not followed when a link takes their place', async () => {
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'secret');
    writeFileSync(file, 'old\n');
    const tracked = await track([file]);
    unlinkSync(file);
    symlinkSync(secret, file);
    expect((await refresh(tracked)).block).toContain('it is no text');
  });
});

describe('a block in a conversation', () => {
  const user: Message = { role: 'user', text: '[SYSTEM: FILES UPDATED] is quoted here' };
  const round = (...outputs: string[]): Message[] => [
    { role: 'assistant', text: '', calls: [] },
    {
      role: 'tool',
      results: outputs.map((output, at) => ({ id: `${at}`, name: 't', output, failed: false })),
    },
  ];
  const outputs = (messages: readonly Message[]) =>
    messages.flatMap((message) =>
      message.role === 'tool' ? message.results.map(({ output }) => output) : [],
    );

  it('stands on the last result, and takes the place of older ones', () => {
    const quoting = 'a file with [SYSTEM: FILES UPDATED]\n\nin it';
    const first = withRefresh([user, ...round('a', quoting)], '[1]');
    expect(outputs(first)).toEqual(['a', `${quoting}\n\n[1]`]);
    const second = withRefresh([...first, ...round('c')], '[2]');
    expect(outputs(second)).toEqual(['a', quoting, 'c\n\n[2]']);
    expect(second[0]).toBe(user);
  });

  it('stays until there is a newer one', () => {
    const once = [...withRefresh([user, ...round('a')], '[1]'), ...round('b')];
    expect(stripStaleRefreshes(once)).toEqual(once);
    const stored = JSON.parse(JSON.stringify(withRefresh(once, '[2]'))) as Message[];
    expect(outputs(stripStaleRefreshes(stored))).toEqual(['a', 'b\n\n[2]']);
    expect(stripStaleRefreshes([user])).toEqual([user]);
  });

  it('comes only after results', () => {
    expect(() => withRefresh([user], '[1]')).toThrow(TypeError);
  });
});
