import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'stomp-import-'));
afterAll(() => rmSync(folder, { recursive: true }));

// Runs beside the program and writes down every module that is loaded by `import`.
const hooks = `
import { writeSync } from 'node:fs';
export async function load(url, context, next) {
  writeSync(1, 'loaded ' + url + '\\n');
  return next(url, context);
}`;

const register = `
import { register } from 'node:module';
register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;

/** Every module, file and shared library in a process that ran this program. */
function trace(program: string): string[] {
  const setup = join(folder, 'register.mjs');
  writeFileSync(setup, register);
  const whole = `
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    ${program}
    for (const path of Object.keys(require('node:module')._cache)) console.log('loaded ' + path);
    for (const path of process.report.getReport().sharedObjects) console.log('loaded ' + path);`;
  const args = ['--import', setup, '--input-type=module', '-e', whole];
  const output = execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  return output.split('\n').flatMap((line) => (line.startsWith('loaded ') ? [line.slice(7)] : []));
}

const server =
  /fastify|prom-client|@huggingface\/hub|\/(serve|cli|guard|mcp)\/|smol-toml|better-sqlite3|@modelcontextprotocol/;
const database = /better-sqlite3|node_modules\/pg\//;
const engine = /dist\/engine\/(?!agent-id)|dist\/native/;
/** All but the interface, which the metrics bring with them. */
const tracing = /@opentelemetry\/(?!api\/)/;
const addon = /stomp_serve\.node|libstomp|node-gyp-build/;

describe("import 'stomp-serve'", () => {
  it('loads no server code, no client of the hub and no native addon', () => {
    const loaded = trace("await import('stomp-serve');");
    expect(loaded.some((path) => path.endsWith('/dist/engine/engine.js'))).toBe(true);
    expect(loaded.filter((path) => server.test(path) || addon.test(path))).toEqual([]);
  });

  it('stands apart from the other parts, each of which loads what it is and no more', () => {
    const mcp = /@modelcontextprotocol/;
    const part = (name: string, ...without: RegExp[]) =>
      trace(`await import('stomp-serve/${name}');`).filter((path) =>
        [addon, ...without].some((pattern) => pattern.test(path)),
      );
    expect(part('guard', database, engine, mcp, /fastify/)).toEqual([]);
    expect(part('context', database, engine, mcp, /fastify|prom-client/)).toEqual([]);
    expect(part('mcp', database, engine, /fastify/)).toEqual([]);
    expect(part('serve', database, mcp, tracing)).toEqual([]);
  });

  it('would be caught if it did', () => {
    const loaded = trace("await import('fastify'); require('node-gyp-build');");
    expect(loaded.some((path) => server.test(path))).toBe(true);
    expect(loaded.some((path) => addon.test(path))).toBe(true);
  });

  it('gives exactly the names it promises, to require as well', () => {
    const program = `
      const named = Object.keys(await import('stomp-serve')).sort();
      const required = Object.keys(require('stomp-serve')).sort();
      console.log('loaded named ' + named.join(' '));
      console.log('loaded required ' + required.filter((name) => name !== '__esModule').join(' '));`;
    const loaded = trace(program);
    const names = (kind: string) =>
      loaded
        .find((line) => line.startsWith(kind))
        ?.split(' ')
        .slice(1);
    expect(names('required ')).toEqual(names('named '));
    expect(names('named ')).toEqual([
      'AgentNotFoundError',
      'CacheCorruptionError',
      'CachePersistenceError',
      'Engine',
      'InvalidRequestError',
      'ModelRegistry',
      'ModelSwapError',
      'PoolExhaustedError',
      'StompError',
      'checkAgentId',
      'defaultModel',
      'knownModels',
    ]);
  });
});

describe('the built package', () => {
  const use = (load: string) => `
    const { Engine } = ${load};
    const model = ${JSON.stringify(join(root, 'tests/fixtures/models/tiny-llama.Q4_1.gguf'))};
    const options = { executor: 'cpu', threads: 1, cacheDir: null, cacheBudgetMb: 16 };
    (async () => {
      const engine = await Engine.load(model, options);
      const schema = { type: 'string', format: 'date' };
      const { text } = await engine.chat('When?', { responseFormat: { type: 'json_schema', schema } }).result;
      console.log(text);
      await engine.close();
    })();`;

  it.each([
    ['import', '--input-type=module', "await import('stomp-serve')"],
    ['require', '--input-type=commonjs', "require('stomp-serve')"],
  ])('compiles forms on their thread and ends by itself, loaded by %s', (_by, type, load) => {
    const run = { cwd: root, encoding: 'utf8', timeout: 60_000 } as const;
    expect(execFileSync(process.execPath, [type, '-e', use(load)], run)).toMatch(/^"\d{4}-\d\d-\d\d"\n$/);
  });
});
