import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseArguments } from '../../../ts/config/arguments.js';
import { type Resolved, resolveSettings } from '../../../ts/config/resolve.js';
import type { Command } from '../../../ts/config/schema.js';
import { StompError } from '../../../ts/errors.js';

let folder: string;
let cwd: string;
let packageRoot: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-config-'));
  cwd = join(folder, 'here');
  packageRoot = join(folder, 'package');
  mkdirSync(cwd);
  mkdirSync(packageRoot);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

interface Given {
  args?: string[];
  env?: Record<string, string>;
  command?: Command;
}

function resolve({ args = [], env = {}, command = 'serve' }: Given = {}): Resolved {
  return resolveSettings({ command, flags: parseArguments(args, command).flags, env, cwd, packageRoot });
}

function failure(given: Given): StompError {
  try {
    resolve(given);
  } catch (caught) {
    expect(caught).toBeInstanceOf(StompError);
    expect((caught as StompError).code).toBe('CONFIG_INVALID');
    return caught as StompError;
  }
  throw new Error('it was accepted');
}

describe('precedence', () => {
  const layers: [string, () => Given | undefined][] = [
    ['schema', () => undefined],
    ['default.toml', () => void write(join(packageRoot, 'config/default.toml'), '[server]\nport = 1001')],
    [
      'config/<env>.toml',
      () => {
        write(join(packageRoot, 'config/test.toml'), '[server]\nport = 1002');
        return { env: { STOMP_ENV: 'test' } };
      },
    ],
    ['stomp.toml', () => void write(join(cwd, 'stomp.toml'), '[server]\nport = 1003')],
    ['.env', () => void write(join(cwd, '.env'), 'STOMP_PORT=1004\nOTHER=1')],
    ['environment', () => ({ env: { STOMP_PORT: '1005', STOMP_ENV: 'test' } })],
    ['flag', () => ({ args: ['--port', '1006'] })],
  ];

  it('lets each layer win over all below it', () => {
    const given: Given = {};
    const ports = layers.map(([, add]) => {
      Object.assign(given, add());
      return resolve(given).settings.port;
    });
    expect(ports).toEqual([8000, 1001, 1002, 1003, 1004, 1005, 1006]);
  });

  it('keeps values of lower layers that the higher ones leave alone', () => {
    write(join(packageRoot, 'config/default.toml'), '[server]\nport = 1001\n[engine]\nthreads = 3');
    write(join(cwd, 'stomp.toml'), '[server]\nport = 1003');
    const { settings, origins } = resolve();
    expect(settings).toMatchObject({ port: 1003, threads: 3 });
    expect(origins.port).toBe(`server.port in ${join(cwd, 'stomp.toml')}`);
    expect(origins.host).toBe('default');
  });

  it('reads the file of --config instead of stomp.toml', () => {
    write(join(cwd, 'stomp.toml'), '[server]\nport = 1003');
    write(join(cwd, 'other.toml'), '[cache]\nbudget_mb = 64');
    expect(resolve({ args: ['--config', 'other.toml'] }).settings).toMatchObject({
      port: 8000,
      cacheBudgetMb: 64,
    });
    expect(resolve({ env: { STOMP_CONFIG: 'other.toml' } }).settings.cacheBudgetMb).toBe(64);
  });

  it('prefers the folder of the user for config/<env>.toml', () => {
    write(join(packageRoot, 'config/lab.toml'), '[server]\nport = 1');
    write(join(cwd, 'config/lab.toml'), '[server]\nport = 2');
    expect(resolve({ env: { STOMP_ENV: 'lab' } }).settings.port).toBe(2);
  });
});

describe('paths', () => {
  it('expands the home directory, wherever the value was written', () => {
    expect(resolve().settings.cacheDir).toBe(join(homedir(), '.stomp-serve/caches'));
    expect(resolve({ args: ['--cache-dir=~/x'] }).settings.cacheDir).toBe(join(homedir(), 'x'));
    write(join(cwd, 'stomp.toml'), '[engine]\nmodel = "~/models/a.gguf"');
    expect(resolve().settings.model).toBe(join(homedir(), 'models/a.gguf'));
  });

  it('makes them absolute against the working directory', () => {
    expect(resolve({ args: ['--cache-dir', 'x/y'] }).settings.cacheDir).toBe(join(cwd, 'x/y'));
  });
});

describe('a bad value is refused with field, value, allowed and source', () => {
  const cases: [string, string, string][] = [
    ['--port', '-1', 'an integer from 0 to 65535'],
    ['--port', 'eighty', 'an integer from 0 to 65535'],
    ['--port', '80.5', 'an integer from 0 to 65535'],
    ['--port', '65536', 'an integer from 0 to 65535'],
    ['--port', '1e3', 'an integer from 0 to 65535'],
    ['--max-batch-size', '0', 'an integer from 1 to 64'],
    ['--max-batch-size', '65', 'an integer from 1 to 64'],
    ['--block-tokens', '100', 'a multiple of 16 from 16 to 1024'],
    ['--shutdown-timeout-seconds', '-0.5', 'a number from 0 to 3600'],
    ['--numerics', 'slow', 'one of fast, exact'],
    ['--kv-bits', '7', 'one of 16, 8, 4'],
    ['--model', '', 'a text that is not empty'],
    ['--cache-dir', ' ', 'a path'],
  ];
  it.each(cases)('%s %j', (flag, value, allowed) => {
    const error = failure({ args: [flag, value] });
    expect(error.fields).toMatchObject({ field: flag.slice(2), value, allowed, source: flag });
    expect(error.message).toContain(flag);
    expect(error.message).toContain(allowed);
  });

  it('names the variable', () => {
    expect(failure({ env: { STOMP_THREADS: 'many' } }).fields).toMatchObject({
      field: 'threads',
      source: 'STOMP_THREADS',
    });
  });

  it('names .env', () => {
    write(join(cwd, '.env'), 'STOMP_THREADS=0');
    expect(failure({}).fields.source).toBe('STOMP_THREADS in .env');
  });

  it.each(['"8000"', '80.5', 'true', '[1]', '1979-05-27', 'nan'])('names the file: port = %s', (written) => {
    write(join(cwd, 'stomp.toml'), `[server]\nport = ${written}`);
    expect(failure({}).fields).toMatchObject({
      field: 'port',
      source: `server.port in ${join(cwd, 'stomp.toml')}`,
    });
  });
});

describe('what this version does not have', () => {
  it('is refused with the reason', () => {
    expect(failure({ args: ['--model-alias', 'a*b'] }).message).toContain('a * stands at the end');
  });

  it('stops only the commands that would use it', () => {
    const env = { STOMP_MODEL_ALIAS: 'a*b' };
    expect(resolve({ command: 'models', env }).settings.modelAlias).toBe('a*b');
  });
});

describe('unknown names', () => {
  it('are refused in TOML, with the nearest', () => {
    write(join(cwd, 'stomp.toml'), '[server]\nprot = 1');
    expect(failure({}).message).toContain('Did you mean "server.port"?');
    write(join(cwd, 'stomp.toml'), '[sever]\nport = 1');
    expect(failure({}).message).toContain('Did you mean "server"?');
    write(join(cwd, 'stomp.toml'), 'port = 1');
    expect(failure({}).message).toContain('"port" is not a setting');
    write(join(cwd, 'stomp.toml'), '[server.port]\nx = 1');
    expect(failure({}).fields.field).toBe('port');
    write(join(cwd, 'stomp.toml'), 'maasl = 1');
    expect(failure({}).message).toContain('"maasl" must be a table');
  });

  it('are warned about in the environment, with the nearest', () => {
    const { warnings } = resolve({ env: { STOMP_PROT: '1', STOMP_TEST_SCALE: '2', PATH: '/bin' } });
    expect(warnings).toEqual(['STOMP_PROT is not a setting and is ignored. Did you mean "STOMP_PORT"?']);
  });
});

describe('hostile and broken files', () => {
  it('that are not TOML are named with the line', () => {
    write(join(cwd, 'stomp.toml'), '[server]\nport = = 1');
    expect(failure({}).message).toMatch(/stomp\.toml is not valid TOML \(line 2\)/);
  });

  it('that do not exist are named when asked for', () => {
    expect(failure({ args: ['--config', 'absent.toml'] }).message).toContain('absent.toml does not exist');
    expect(failure({ env: { STOMP_ENV: 'absent' } }).message).toContain('none of these files exists');
  });

  it('that are folders or huge are named', () => {
    mkdirSync(join(cwd, 'folder.toml'));
    expect(failure({ args: ['--config', 'folder.toml'] }).message).toContain('cannot be read');
    write(join(cwd, 'huge.toml'), '#'.repeat((1 << 20) + 1));
    expect(failure({ args: ['--config', 'huge.toml'] }).message).toContain('larger than 1 MB');
  });

  it('cannot be reached through the name of an environment', () => {
    expect(failure({ env: { STOMP_ENV: '../../etc/passwd' } }).message).toContain('a name is letters');
  });

  it('cannot reach prototypes', () => {
    write(join(cwd, 'stomp.toml'), '[__proto__]\nport = 1');
    expect(failure({}).fields.field).toBe('__proto__');
    write(join(cwd, 'stomp.toml'), '[server]\nconstructor = 1');
    expect(failure({}).fields.field).toBe('server.constructor');
  });
});

it('treats a variable that is set but empty as unset', () => {
  expect(resolve({ env: { STOMP_PORT: '', STOMP_ENV: '' } }).settings.port).toBe(8000);
});
