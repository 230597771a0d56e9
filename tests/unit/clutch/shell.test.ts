import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { processEnvironment } from '../../../ts/clutch/tools/environment.js';
import { maxOutputChars } from '../../../ts/clutch/tools/limits.js';
import { shellTool } from '../../../ts/clutch/tools/shell.js';
import { call, openScope } from './tool-scope.js';

const tool = shellTool();
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Whether there is such a process; one that is dead and not yet waited for by its parent is none. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe.skipIf(process.platform !== 'linux')('a script', () => {
  it('gives its exit code and what it wrote', async () => {
    const { scope } = await openScope();
    const { output, failed } = await call(tool, { script: 'echo out; echo err >&2' }, scope);
    expect(failed).toBe(false);
    expect(output.split('\n').sort()).toEqual(['', '[exit code 0]', 'err', 'out']);
    expect(await call(tool, { script: 'exit 3' }, scope)).toEqual({
      output: '[exit code 3]\n[no output]',
      failed: true,
    });
  });

  it('ends nobody but itself where the system does not let its group be ended', async () => {
    const { scope } = await openScope();
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });
    expect(await call(tool, { script: 'echo out' }, scope)).toMatchObject({ failed: false });
    expect(kill).toHaveBeenCalled();
  });

  it('runs as a person has edited it, in a folder of the run', async () => {
    const { scope, root } = await openScope();
    mkdirSync(join(root, 'sub'));
    const proposed = await tool.prepare({ script: 'echo model' }, scope);
    expect(proposed).toEqual({ script: 'echo model', base_dir: root, timeout_s: 60 });
    const edited = await tool.edit(proposed, { script: 'pwd', base_dir: 'sub', timeout_s: 5 }, scope);
    expect((await tool.run(edited, scope)).output).toBe(`[exit code 0]\n${root}/sub\n`);
    await expect(tool.edit(proposed, { base_dir: '..' }, scope)).rejects.toMatchObject({
      code: 'PATH_DENIED',
    });
    await expect(tool.prepare({ script: '', base_dir: 'none' }, scope)).rejects.toThrow('must be a folder');
  });

  it('leaves nothing behind after a timeout, not even its grandchildren', async () => {
    const { scope, root } = await openScope();
    const script = '(sleep 1000 & echo $! > grandchild; wait) & echo $! > child; wait';
    const { output, failed } = await call(tool, { script, timeout_s: 1 }, scope);
    expect({ output, failed }).toEqual({ output: '[killed after 1 s]\n[no output]', failed: true });
    for (const name of ['child', 'grandchild']) {
      const pid = Number(readFileSync(join(root, name), 'utf8'));
      expect(pid).toBeGreaterThan(0);
      await expect.poll(() => runs(pid)).toBe(false);
    }
  });

  it('leaves nothing behind when it ends by itself, and does not wait for what it left', async () => {
    const { scope, root } = await openScope();
    const { output } = await call(tool, { script: 'sleep 1000 & echo $! > child; echo done' }, scope);
    expect(output).toBe('[exit code 0]\ndone\n');
    const pid = Number(readFileSync(join(root, 'child'), 'utf8'));
    await expect.poll(() => runs(pid)).toBe(false);
  });

  it('ends with its run', async () => {
    const abort = new AbortController();
    const { scope, root } = await openScope(abort.signal);
    const running = call(tool, { script: 'echo $$ > pid; sleep 1000; echo late > late' }, scope);
    const refused = expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
    const pid = () => (existsSync(join(root, 'pid')) ? Number(readFileSync(join(root, 'pid'), 'utf8')) : 0);
    await expect.poll(pid).toBeGreaterThan(0);
    abort.abort();
    await refused;
    await expect.poll(() => runs(pid())).toBe(false);
    expect(existsSync(join(root, 'late'))).toBe(false);
  });

  it('has both ends of a long output kept, within what one output may have', async () => {
    const { scope } = await openScope();
    const { output } = await call(tool, { script: 'echo first; seq 1 100000; echo last' }, scope);
    expect(output.length).toBeLessThanOrEqual(maxOutputChars);
    expect(output).toMatch(
      /^\[exit code 0\]\nfirst\n1\n2\n[\s\S]+characters are missing here[\s\S]+100000\nlast\n$/,
    );
  });

  it('sees nothing of the environment but what it needs', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'planted');
    vi.stubEnv('SOME_OTHER', 'planted');
    vi.stubEnv('LC_ALL', 'C');
    const { scope } = await openScope();
    const { output } = await call(tool, { script: 'env' }, scope);
    expect(output).toContain('PATH=');
    expect(output).toContain('LC_ALL=C');
    expect(output).not.toContain('planted');
  });
});

it('adds variables that the user names, but no secrets', () => {
  const all = { PATH: '/bin', JAVA_HOME: '/java', MY_TOKEN: 'x', OTHER: 'y', EMPTY: undefined };
  expect(processEnvironment(all, ['JAVA_HOME', 'MY_TOKEN', 'EMPTY'])).toEqual({
    PATH: '/bin',
    JAVA_HOME: '/java',
  });
});
