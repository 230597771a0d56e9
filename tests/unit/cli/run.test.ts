import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { watch } from '../../../ts/cli/commands/locks.js';
import { run } from '../../../ts/cli/run.js';
import type { StompError } from '../../../ts/errors.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { packageVersion } from '../../../ts/version.js';

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-cli-'));
  vi.spyOn(process, 'cwd').mockReturnValue(folder);
  vi.stubEnv('STOMP_MODEL_DIR', join(folder, 'models'));
  vi.stubEnv('STOMP_DATABASE', join(folder, 'stomp.db'));
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function stomp(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(args, {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

describe('the command line', () => {
  it('has a help with every command, and one for each', async () => {
    const general = await stomp('--help');
    expect(general.code).toBe(0);
    for (const name of [
      'serve',
      'mcp',
      'demo',
      'agents',
      'locks',
      'models',
      'doctor',
      'setup',
      'bench',
      'perplexity',
    ]) {
      expect(general.out).toContain(`\n  ${name}`);
      const own = await stomp(name, '--help');
      expect(own).toMatchObject({ code: 0, err: '' });
      expect(own.out).toMatch(new RegExp(`^Usage: stomp-serve ${name}`));
      expect(await stomp('help', name)).toEqual(own);
    }
  });

  it('tells the version', async () => {
    expect(await stomp('--version')).toEqual({ code: 0, out: `${packageVersion()}\n`, err: '' });
    expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/);
  });

  it.each([
    [['srve'], 'Did you mean "serve"?'],
    [['--prot', '1'], 'Did you mean "--port"?'],
    [['--port', '-1'], 'an integer from 0 to 65535'],
    [['--port', 'x'], 'an integer from 0 to 65535'],
    [['--max-batch-size', '65'], 'an integer from 1 to 64'],
    [['--host', '0.0.0.0'], 'add --allow-remote and --api-key-file FILE'],
    [['--host', '0.0.0.0', '--allow-remote'], 'add --api-key-file FILE'],
    [['--api-key-file', 'absent.txt'], 'cannot be read (ENOENT)'],
    [['keys', 'old'], 'Usage: stomp-serve keys new'],
    [['keys', 'new', 'a b'], 'its name is not'],
    [['keys', 'new', '--role', 'king'], 'one of user, admin, approver'],
    [['serve', 'extra'], '"extra" is one argument too many'],
    [['perplexity'], 'FILE is missing'],
    [['setup'], 'mlx [WHEEL] is missing'],
    [['setup', 'cuda'], 'There is: mlx.'],
    [['perplexity', 'a', '--port', '1'], '--port does not apply to perplexity'],
    [['--config', 'absent.toml'], 'does not exist'],
    [['constructor'], 'is not a command'],
  ])('refuses %j with exit code 2', async (args, message) => {
    const { code, out, err } = await stomp(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('stomp-serve: ');
    expect(err).toContain(message);
    expect(err).not.toContain('    at ');
  });

  it('warns of a variable that is no setting, and goes on', async () => {
    vi.stubEnv('STOMP_PROT', '1');
    const { code, err } = await stomp('models');
    expect(code).toBe(0);
    expect(err).toContain('Did you mean "STOMP_PORT"?');
  });
});

describe('serve', () => {
  it('says that the port is taken before it loads anything', async () => {
    const other = createServer();
    servers.push(other);
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, err } = await stomp(
      '--port',
      String(port),
      '--log-level',
      'silent',
      '--model',
      './absent.gguf',
    );
    expect(code).toBe(1);
    expect(err).toContain(`Port ${port} on 127.0.0.1 is taken`);
    expect(err).toContain('--port');
  });

  it('says that there is no such model', async () => {
    const { code, err } = await stomp('--port', '0', '--log-level', 'silent', '--model', './absent.gguf');
    expect(code).toBe(1);
    expect(err).toContain('absent.gguf');
  });
});

describe('the guard that serve and mcp open', () => {
  it.each(['serve', 'mcp', 'locks'])('stops %s with exit code 2 when [maasl] is wrong', async (command) => {
    writeFileSync(join(folder, 'stomp.toml'), '[maasl.resource.CRIT_CODE]\nlease_ttl_secs = 5\n');
    const { code, out, err } = await stomp(command);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Did you mean "lease_ttl_sec"?');
  });

  it.each(['serve', 'mcp'])('stops %s with exit code 2 when a root is no folder', async (command) => {
    const { code, out, err } = await stomp(command, '--roots', `${folder}:${join(folder, 'absent')}`);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(`--roots: ${join(folder, 'absent')} does not exist`);
  });

  it.each(['serve', 'mcp', 'locks'])('stops %s when the database cannot be opened', async (command) => {
    writeFileSync(join(folder, 'file'), '');
    const { code, err } = await stomp(command, '--database', join(folder, 'file', 'stomp.db'));
    expect(code).toBe(1);
    expect(err).toContain(`Cannot open the database ${join(folder, 'file', 'stomp.db')}`);
    expect(err).not.toContain('    at ');
  });
});

describe('locks', () => {
  it('are looked for in a database that is there, and make none', async () => {
    const path = join(folder, 'mistyped.db');
    const { code, out, err } = await stomp('locks', '--once', '--database', path);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(`--database: there is no database ${path}`);
    expect(existsSync(path)).toBe(false);
  });

  async function guarded(work: (maasl: Maasl) => Promise<void>): Promise<void> {
    const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
    try {
      await work(maasl);
    } finally {
      await maasl.close();
    }
  }

  it('are shown with who holds them and who waits', async () => {
    await guarded(async (maasl) => {
      const maxWaitMs = 60_000;
      await maasl.locks.acquire('code:/a/', { agentId: 'ann', sessionId: 's1', ttlMs: 200_000 });
      const both = ['code:/a/x', 'code:/z'];
      const waiting = [
        maasl.locks.acquire(both, { agentId: 'bob', sessionId: 's2', maxWaitMs }),
        maasl.locks.acquire('code:/z', { agentId: 'cid', sessionId: '\u001b[2J', maxWaitMs }),
      ].map((promise) => promise.catch((error: StompError) => error.code));
      await expect.poll(() => maasl.locks.waiting()).toHaveLength(2);
      const { code, out } = await stomp('locks');
      expect(code).toBe(0);
      expect(out).toMatch(/^KEY +HOLDER +SESSION +TOKEN +HELD +TTL LEFT +WAITING$/m);
      expect(out).toMatch(/^code:\/a\/ +ann +s1 +1 +[\d.]+ m?s +3 min +bob\/s2$/m);
      expect(out).toMatch(/^code:\/z +\(nobody\) +bob\/s2, cid\/\?\[2J$/m);
      expect(out).toContain(`From ${join(folder, 'stomp.db')}.`);
      await maasl.close();
      expect(await Promise.all(waiting)).toEqual(['SHUTTING_DOWN', 'SHUTTING_DOWN']);
    });
  });

  it('are none in a new database', async () => {
    expect(await stomp('locks', '--once')).toMatchObject({ code: 0, err: '' });
    expect((await stomp('locks')).out).toContain('Nothing is locked.');
  });

  it('are drawn anew on a terminal until it is told to stop, no larger than the screen', async () => {
    let out = '';
    const stop = new AbortController();
    const output = { columns: 20, rows: 4, write: (text: string) => (out += text) };
    let draws = 0;
    const view = async () => {
      draws++;
      if (draws === 2) stop.abort();
      return Array.from({ length: 10 }, (_, i) => `line ${draws}.${i} ${'x'.repeat(40)}`).join('\n');
    };
    await watch(output, view, stop.signal);
    expect(draws).toBe(2);
    const [before, first, second] = out.split('\u001b[H\u001b[2J');
    expect(before).toBe('\u001b[?1049h');
    const lines = first?.split('\n') ?? [];
    expect(lines).toHaveLength(4);
    expect(lines.every((line) => line.length <= 20)).toBe(true);
    expect(lines.at(-1)).toBe('… 8 more lines');
    expect(second).toContain('line 2.0');
    expect(out.endsWith('\u001b[?1049l')).toBe(true);
  });

  it('are shown on a terminal that does not know its size', async () => {
    let out = '';
    const stop = new AbortController();
    const output = { columns: 0, rows: 0, write: (text: string) => (out += text) };
    const view = async () => {
      stop.abort();
      return 'a\nb\nc';
    };
    await watch(output, view, stop.signal);
    expect(out).toContain('a\nb\nc\nCtrl-C ends.');
  });

  it('leave the terminal as it was when the database fails', async () => {
    let out = '';
    const output = { write: (text: string) => (out += text) };
    const view = () => Promise.reject(new Error('gone'));
    await expect(watch(output, view, new AbortController().signal)).rejects.toThrow('gone');
    expect(out.endsWith('\u001b[?1049l')).toBe(true);
  });
});

describe('models', () => {
  it('tells which are here', async () => {
    expect((await stomp('models')).out).toMatch(/smollm2-135m +92\.9 MB +no /);
    mkdirSync(join(folder, 'models/smollm2-135m'), { recursive: true });
    writeFileSync(join(folder, 'models/smollm2-135m/x.gguf'), 'x'.repeat(2000));
    mkdirSync(join(folder, 'models/hub/owner--tiny'), { recursive: true });
    writeFileSync(join(folder, 'models/hub/owner--tiny/model.safetensors'), 'x'.repeat(3000));
    const { out } = await stomp('models');
    expect(out).toMatch(/smollm2-135m +2\.0 kB +yes /);
    expect(out).toMatch(/owner\/tiny +3\.0 kB +partly /);
    writeFileSync(join(folder, 'models/hub/owner--tiny/.stomp-model.json'), '{}');
    expect((await stomp('models')).out).toMatch(/owner\/tiny +3\.0 kB +yes /);
  });
});

describe('agents', () => {
  const freePort = '1';

  function writeAgent(file: string, header: string): void {
    mkdirSync(join(folder, 'caches/abc'), { recursive: true });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(join(folder, 'caches/abc', file), Buffer.concat([length, Buffer.from(header)]));
  }

  it('are read from the folder when no server answers', async () => {
    const header = {
      __metadata__: { agent: 'Ann', model: 'SmolLM2' },
      tokens: { dtype: 'I32', shape: [812] },
    };
    writeAgent('ann=1.safetensors', JSON.stringify(header));
    const cold = { __metadata__: { agent: 'bob', model: 'SmolLM2', kind: 'cold' } };
    writeAgent('bob.safetensors', JSON.stringify(cold));
    const { code, out } = await stomp('agents', '--port', freePort, '--cache-dir', 'caches');
    expect(code).toBe(0);
    expect(out).toMatch(/Ann +SmolLM2 +warm +812 +\d+ B +0 s ago/);
    expect(out).toMatch(/bob +SmolLM2 +cold /);
    expect(out).toContain(`From ${join(folder, 'caches')}`);
  });

  it('of damaged files are listed as such', async () => {
    writeAgent('a.safetensors', 'not JSON');
    writeAgent('b.safetensors', '{"__metadata__": 7, "tokens": {"shape": "x"}}');
    writeAgent('c.safetensors', 'null');
    writeFileSync(join(folder, 'caches/abc/d.safetensors'), 'xy');
    const huge = Buffer.alloc(8, 0xff);
    writeFileSync(join(folder, 'caches/abc/e.safetensors'), huge);
    writeFileSync(join(folder, 'caches/abc/f.safetensors.tmp'), '');
    writeFileSync(join(folder, 'caches/lock'), '');
    const { code, out } = await stomp('agents', '--port', freePort, '--cache-dir', 'caches');
    expect(code).toBe(0);
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      expect(out).toMatch(new RegExp(`^${name} +\\(unreadable\\)`, 'm'));
    expect(out).not.toMatch(/^f /m);
  });

  it('are none in an empty folder', async () => {
    const { out } = await stomp('agents', '--port', freePort, '--cache-dir', 'nowhere');
    expect(out).toContain('No agents are kept on disk.');
  });

  it('are asked of the server where one runs', async () => {
    const agent = {
      agent_id: 'ann',
      tier: 'hot',
      tokens: 90,
      pool_bytes: 2e6,
      disk_bytes: 1e6,
      hit_rate: 0.75,
      last_used: new Date().toISOString(),
    };
    const server = createServer((_, response) =>
      response.end(JSON.stringify({ object: 'list', data: [agent] })),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { out } = await stomp('agents', '--port', String(port));
    expect(out).toMatch(/ann +hot +90 +2\.0 MB +1\.0 MB +75 % +0 s ago/);
    expect(out).toContain(`From the server at http://127.0.0.1:${port}`);
  });
});

describe('agents remove', () => {
  async function serverThat(answers: (method: string, url: string) => [status: number, body: object]) {
    const server = createServer((request, response) => {
      const [status, body] = answers(request.method ?? '', request.url ?? '');
      response.writeHead(status).end(JSON.stringify(body));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return String((server.address() as AddressInfo).port);
  }

  function writeAgent(fingerprint: string, model: string): void {
    const path = join(folder, 'caches', fingerprint);
    mkdirSync(path, { recursive: true });
    const header = JSON.stringify({ __metadata__: { model } });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(join(path, 'ann.safetensors'), Buffer.concat([length, Buffer.from(header)]));
  }

  it('asks the server that runs', async () => {
    const seen: string[] = [];
    const port = await serverThat((method, url) => {
      seen.push(`${method} ${url}`);
      return [200, { deleted: true }];
    });
    const { code, out } = await stomp('agents', 'remove', 'ann', '--port', port);
    expect(code).toBe(0);
    expect(out).toContain('Removed ann from the server');
    expect(seen).toEqual(['DELETE /v1/agents/ann']);
  });

  it('says why the server does not', async () => {
    const error = { code: 'FORBIDDEN', message: 'Not with this key.' };
    const port = await serverThat(() => [403, { error }]);
    const { code, err } = await stomp('agents', 'remove', 'ann', '--port', port);
    expect(code).toBe(1);
    expect(err).toContain('Not with this key.');
  });

  it('wants to know which, where several models have one of the name', async () => {
    writeAgent('abc', 'Small');
    writeAgent('def', 'Large');
    const args = ['agents', 'remove', 'ann', '--port', '1', '--cache-dir', 'caches'];
    const { code, err } = await stomp(...args);
    expect(code).toBe(1);
    expect(err).toContain('Small (abc)');
    expect(err).toContain('Large (def)');
    expect((await stomp(...args, 'Tiny')).err).toContain('There is no agent ann');
  });

  it.each([[['remove']], [['rm', 'ann']]])('%j is no action', async (words) => {
    const { code, err } = await stomp('agents', ...words);
    expect(code).toBe(2);
    expect(err).toContain('agents [remove AGENT [MODEL]]');
  });
});

describe('doctor', () => {
  it('does not call a model fit that nobody knows', async () => {
    const { code, out } = await stomp('doctor', '--cache-dir', 'caches', '--model', 'nope');
    expect(code).toBe(1);
    expect(out).toMatch(/^BROKEN +model +.*nope/m);
  });

  it('names what is broken and fails', async () => {
    writeFileSync(join(folder, 'file'), '');
    const { code, out } = await stomp('doctor', '--cache-dir', 'file/caches', '--model', './absent.gguf');
    expect(code).toBe(1);
    expect(out).toMatch(/^ok +node +v/m);
    expect(out).toMatch(/^BROKEN +cache folder .*Choose another with --cache-dir/m);
    expect(out).toMatch(/^BROKEN +model +there is no /m);
    expect(out).toContain('Not ready');
  });
});

it('perplexity says that the file cannot be read', async () => {
  const { code, err } = await stomp('perplexity', 'absent.txt');
  expect(code).toBe(1);
  expect(err).toContain('absent.txt cannot be read');
});
