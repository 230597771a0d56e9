/** The addon in processes and workers that end in every way they can. Each case is a process of its own. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const index = pathToFileURL(join(root, 'dist/index.js')).href;
const model = join(root, 'tests/fixtures/models/tiny-llama.F16.gguf');
const folder = mkdtempSync(join(tmpdir(), 'stomp-lifecycle-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const prelude = `
  import { Engine } from ${JSON.stringify(index)};
  const load = (options = {}) => Engine.load(${JSON.stringify(model)}, { cacheDir: null, cacheBudgetMb: 16, ...options });
  const endless = { maxTokens: 400, ignoreEos: true };
`;

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

/** Runs a script as a module; a process that hangs is killed and reported as such. */
function run(script: string, flags: string[] = []): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', prelude + script]);
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      err += data;
    });
    const guard = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.on('close', (code, signal) => {
      clearTimeout(guard);
      resolve({ code, signal, out, err });
    });
  });
}

describe('the addon', () => {
  it('lets the process end when an engine was never closed', async () => {
    const end = await run(`
      const engine = await load();
      console.log(await engine.complete('Hello', { maxTokens: 4 }).text().then(() => 'answered'));
    `);
    expect(end).toMatchObject({ code: 0, out: 'answered\n' });
  });

  it('keeps the process alive while an answer is awaited', async () => {
    const end = await run(`
      const engine = await load();
      engine.complete('Hello', endless).result.then((r) => console.log(r.tokens.length));
    `);
    expect(end).toMatchObject({ code: 0, out: '400\n' });
  });

  it('survives process.exit() and an uncaught exception in the middle of an answer', async () => {
    const exit = await run(`
      const engine = await load();
      for await (const chunk of engine.complete('Hello', endless)) process.exit(7);
    `);
    expect(exit).toMatchObject({ code: 7, signal: null });
    const thrown = await run(`
      const engine = await load();
      engine.complete('Hello', endless);
      setTimeout(() => { throw new Error('on purpose'); }, 20);
    `);
    expect(thrown).toMatchObject({ code: 1, signal: null });
    expect(thrown.err).toContain('on purpose');
  });

  it('survives workers that are terminated while loading and while answering', async () => {
    const body = `${prelude}
      import { parentPort } from 'node:worker_threads';
      parentPort.postMessage('up');
      const engine = await load();
      parentPort.postMessage('loaded');
      for (let i = 0; i < 4; i++) engine.complete('Hello ' + i, endless);
    `;
    const end = await run(`
      import { Worker } from 'node:worker_threads';
      const source = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(body)}));
      for (let i = 0; i < 12; i++) {
        const worker = new Worker(source);
        await new Promise((resolve, reject) => {
          worker.on('message', (what) => { if (what === (i % 2 ? 'loaded' : 'up')) resolve(); });
          worker.on('error', reject);
        });
        await new Promise((resolve) => setTimeout(resolve, i * 3));
        await worker.terminate();
      }
      console.log('all gone');
    `);
    expect(end).toMatchObject({ code: 0, signal: null, out: 'all gone\n' });
  });

  it('lets go of engines that were dropped without closing', async () => {
    const end = await run(
      `
      for (let i = 0; i < 8; i++) {
        const engine = await load();
        await engine.complete('Hello', { maxTokens: 2 }).text();
      }
      for (let i = 0; i < 5; i++) { globalThis.gc(); await new Promise((r) => setTimeout(r, 20)); }
      const { readdirSync } = await import('node:fs');
      console.log(process.platform === 'linux' ? readdirSync('/proc/self/task').length < 24 : true);
    `,
      ['--expose-gc'],
    );
    expect(end).toMatchObject({ code: 0, out: 'true\n' });
  });

  it('runs two engines in one process, apart from each other', async () => {
    const end = await run(`
      const [a, b] = await Promise.all([load(), load()]);
      const [x, y] = await Promise.all([a, b].map((e) => e.agent('same').generate('Once upon', { maxTokens: 16 }).text()));
      console.log(x === y, (await a.agents()).length, (await b.agents()).length);
      await a.close();
      console.log((await b.complete('On', { maxTokens: 2 }).result).tokens.length);
      await b.close();
    `);
    expect(end).toMatchObject({ code: 0, out: 'true 1 1\n2\n' });
  });

  it('refuses a second engine on the same cache folder, by name and holder', async () => {
    const end = await run(`
      const cacheDir = ${JSON.stringify(join(folder, 'shared'))};
      const first = await load({ cacheDir });
      await load({ cacheDir }).catch((e) => console.log(e.code, e.message.includes(String(process.pid))));
      await first.close();
      await (await load({ cacheDir })).close();
      console.log('free again');
    `);
    expect(end).toMatchObject({ code: 0, out: 'CACHE_IN_USE true\nfree again\n' });
  });
});
