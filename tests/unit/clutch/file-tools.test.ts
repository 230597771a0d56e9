import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileTools } from '../../../ts/clutch/tools/file-tools.js';
import { searchTools } from '../../../ts/clutch/tools/search-tools.js';
import { call, named, openScope } from './tool-scope.js';

async function open() {
  const guard = await openScope();
  const tools = [...fileTools(guard.files), ...searchTools(guard.files)];
  const at = (name: string) => join(guard.root, name);
  const put = (name: string, content: string | Buffer) => writeFileSync(at(name), content);
  return { ...guard, at, put, tool: (name: string) => named(tools, name) };
}

describe('reading', () => {
  it('gives all of a file, or some of its lines', async () => {
    const { tool, put, scope } = await open();
    put('a.txt', 'one\ntwo\nthree\n');
    expect(await call(tool('read_file'), { path: 'a.txt' }, scope)).toEqual({
      output: 'one\ntwo\nthree\n',
      failed: false,
    });
    const some = await call(tool('read_file'), { path: 'a.txt', first_line: 2, last_line: 9 }, scope);
    expect(some.output).toBe('[lines 2 to 3 of 3]\ntwo\nthree');
    const none = await call(tool('read_file'), { path: 'a.txt', first_line: 4 }, scope);
    expect(none).toMatchObject({ failed: true, output: expect.stringContaining('the file has 3') });
  });

  it('tells the model what is wrong, as an outcome when it is so only by then', async () => {
    const { tool, scope } = await open();
    expect(await call(tool('read_file'), { path: 'none.txt' }, scope)).toMatchObject({
      failed: true,
      output: expect.stringContaining('NOT_FOUND'),
    });
    await expect(tool('read_file').prepare({ path: '../x' }, scope)).rejects.toMatchObject({
      code: 'PATH_DENIED',
    });
    await expect(tool('read_file').prepare({ file: 'x' }, scope)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  });
});

describe('writing', () => {
  it('shows a diff, and then does what was shown', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'one\ntwo\n');
    const payload = await tool('write_file').prepare({ path: 'a.txt', content: 'one\n2\n' }, scope);
    const { title, diff } = await tool('write_file').preview(payload, scope);
    expect(title).toBe(`Replace ${at('a.txt')} (2 lines, 6 bytes)`);
    expect(diff).toContain('@@ -1,2 +1,2 @@\n one\n-two\n+2\n');
    expect(readFileSync(at('a.txt'), 'utf8')).toBe('one\ntwo\n');
    expect(await tool('write_file').run(payload, scope)).toMatchObject({ failed: false });
    expect(readFileSync(at('a.txt'), 'utf8')).toBe('one\n2\n');
  });

  it('changes nothing when the file is another than the one that was shown', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'one\n');
    const replace = await tool('write_file').prepare({ path: 'a.txt', content: 'mine\n' }, scope);
    const create = await tool('write_file').prepare({ path: 'b.txt', content: 'mine\n' }, scope);
    const remove = await tool('delete_file').prepare({ path: 'a.txt' }, scope);
    put('a.txt', 'theirs\n');
    put('b.txt', 'theirs\n');
    for (const [name, payload] of [
      ['write_file', replace],
      ['write_file', create],
      ['delete_file', remove],
    ] as const) {
      expect(await tool(name).run(payload, scope)).toMatchObject({
        failed: true,
        output: expect.stringContaining('STALE_VERSION'),
      });
    }
    expect(readFileSync(at('a.txt'), 'utf8') + readFileSync(at('b.txt'), 'utf8')).toBe('theirs\ntheirs\n');
  });

  it('writes what a person has made of it, also to another file', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'one\n');
    put('b.txt', 'two\n');
    const write = tool('write_file');
    const payload = await write.prepare({ path: 'a.txt', content: 'model\n' }, scope);
    const edited = await write.edit(payload, { path: 'b.txt', content: 'person\n' }, scope);
    expect((await write.preview(edited, scope)).diff).toContain('-two\n+person\n');
    expect(await write.run(edited, scope)).toMatchObject({ failed: false });
    expect(readFileSync(at('b.txt'), 'utf8')).toBe('person\n');
    expect(readFileSync(at('a.txt'), 'utf8')).toBe('one\n');
    await expect(write.edit(payload, { path: '.env' }, scope)).rejects.toMatchObject({ code: 'PATH_DENIED' });
  });

  it('goes nowhere else when a link takes the place of a folder after the approval', async () => {
    const { tool, at, folder, scope } = await open();
    mkdirSync(at('sub'));
    mkdirSync(at('other'));
    const payload = await tool('write_file').prepare({ path: 'sub/a.txt', content: 'x' }, scope);
    renameSync(at('sub'), at('was-sub'));
    symlinkSync(at('other'), at('sub'));
    expect(await tool('write_file').run(payload, scope)).toMatchObject({
      failed: true,
      output: expect.stringContaining('PATH_DENIED'),
    });
    expect(existsSync(at('other/a.txt'))).toBe(false);
    expect(existsSync(join(folder, 'a.txt'))).toBe(false);
  });

  it('makes the folder of a new file', async () => {
    const { tool, at, scope } = await open();
    await call(tool('write_file'), { path: 'x/y/a.txt', content: 'new' }, scope);
    expect(readFileSync(at('x/y/a.txt'), 'utf8')).toBe('new');
  });
});

describe('editing, moving and deleting', () => {
  it('shows what an edit would change, and refuses one that is not clear', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'x = 1\ny = 1\n');
    const edit = tool('edit_file');
    const payload = await edit.prepare({ path: 'a.txt', old_text: 'y = 1', new_text: 'y = 2' }, scope);
    expect((await edit.preview(payload, scope)).diff).toContain(' x = 1\n-y = 1\n+y = 2\n');
    expect(await edit.run(payload, scope)).toMatchObject({ failed: false });
    expect(readFileSync(at('a.txt'), 'utf8')).toBe('x = 1\ny = 2\n');
    const unclear = await edit.prepare({ path: 'a.txt', old_text: ' = ', new_text: ': ' }, scope);
    await expect(edit.preview(unclear, scope)).rejects.toThrow('occurs 2 times, not 1');
  });

  it('moves into a new folder, and over a file only when that was said', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'a');
    put('b.txt', 'b');
    expect(await call(tool('move_file'), { from: 'a.txt', to: 'b.txt' }, scope)).toMatchObject({
      failed: true,
    });
    expect(await call(tool('move_file'), { from: 'a.txt', to: 'sub/c.txt' }, scope)).toMatchObject({
      failed: false,
    });
    expect(readFileSync(at('sub/c.txt'), 'utf8')).toBe('a');
    await call(tool('move_file'), { from: 'sub/c.txt', to: 'b.txt', overwrite: true }, scope);
    expect(readFileSync(at('b.txt'), 'utf8')).toBe('a');
    await expect(tool('move_file').prepare({ from: 'b.txt', to: '.env' }, scope)).rejects.toThrow('.env');
  });

  it('shows what goes with a file, and removes no folder that is not empty', async () => {
    const { tool, put, at, scope } = await open();
    put('a.txt', 'gone\n');
    mkdirSync(at('sub'));
    put('sub/b.txt', '');
    const payload = await tool('delete_file').prepare({ path: 'a.txt' }, scope);
    expect((await tool('delete_file').preview(payload, scope)).diff).toContain('+++ /dev/null');
    expect(await tool('delete_file').run(payload, scope)).toMatchObject({ failed: false });
    expect(existsSync(at('a.txt'))).toBe(false);
    expect(await call(tool('delete_file'), { path: 'sub' }, scope)).toMatchObject({ failed: true });
    expect(existsSync(at('sub/b.txt'))).toBe(true);
  });

  it('shows no diff of what is no text', async () => {
    const { tool, put, scope } = await open();
    put('a.bin', Buffer.from([0, 1, 2]));
    const payload = await tool('write_file').prepare({ path: 'a.bin', content: 'text' }, scope);
    expect(await tool('write_file').preview(payload, scope)).not.toHaveProperty('diff');
  });
});

describe('searching', () => {
  async function tree() {
    const opened = await open();
    for (const folder of ['src/deep', 'node_modules/x', '.ssh']) {
      mkdirSync(opened.at(folder), { recursive: true });
    }
    opened.put('src/a.ts', 'const a = 1;\nconst b = f(a);\n');
    opened.put('src/deep/b.js', 'CONST = 2\n');
    opened.put('src/deep/c.bin', Buffer.from('const\0'));
    opened.put('node_modules/x/d.ts', 'const d = 1;\n');
    opened.put('.ssh/e.ts', 'const e = 1;\n');
    opened.put('.env', 'const=1\n');
    symlinkSync(opened.folder, opened.at('src/out'));
    return opened;
  }

  it('lists a folder, or what fits in all folders, without links and secrets', async () => {
    const { tool, scope } = await tree();
    const list = async (args: object) => (await call(tool('list_files'), args, scope)).output;
    expect(await list({})).toBe('node_modules/\nsrc/');
    expect(await list({ path: 'src' })).toBe('a.ts\ndeep/');
    expect(await list({ glob: '*.{ts,js}' })).toBe('src/a.ts\nsrc/deep/b.js');
    expect(await list({ glob: 'src/*' })).toBe('src/a.ts');
    expect(await list({ glob: '**/[!a].??' })).toBe('src/deep/b.js');
    expect(await list({ glob: '*.none' })).toBe('[nothing found]');
  });

  it('finds a text or an expression in text files', async () => {
    const { tool, scope } = await tree();
    const search = async (args: object) => (await call(tool('search_files'), args, scope)).output;
    expect(await search({ pattern: 'f(a)' })).toBe('src/a.ts:2: const b = f(a);');
    expect(await search({ pattern: '^const', regex: true, case_sensitive: false })).toBe(
      'src/a.ts:1: const a = 1;\nsrc/a.ts:2: const b = f(a);\nsrc/deep/b.js:1: CONST = 2',
    );
    expect(await search({ pattern: 'const', glob: '*.js' })).toBe('[nothing found]');
    expect(await search({ pattern: 'const', max_results: 1 })).toBe(
      'src/a.ts:1: const a = 1;\n[there is more: only 1 lines are shown]',
    );
  });

  it('refuses patterns that cannot be read, folders outside, and what is no folder', async () => {
    const { tool, scope } = await tree();
    const prepare = (args: object) => tool('search_files').prepare(args, scope);
    await expect(prepare({ pattern: '(', regex: true })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await expect(prepare({ pattern: 'x', path: 'src/out' })).rejects.toMatchObject({ code: 'PATH_DENIED' });
    expect(await call(tool('list_files'), { path: 'src/a.ts' }, scope)).toMatchObject({
      failed: true,
      output: expect.stringContaining('no folder'),
    });
  });
});
