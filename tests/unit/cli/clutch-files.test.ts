/** Files of providers and MCP servers: what they can say, and that nothing else gets through. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readMcpServers, readProviders } from '../../../ts/cli/clutch-files.js';
import type { StompError } from '../../../ts/errors.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('a file of providers', () => {
  const expected = {
    here: {
      kind: 'openai',
      baseUrl: 'http://127.0.0.1:9/v1',
      keyFile: expect.stringMatching(/^\/.*keys\/here$/),
      defaultModel: 'm-1',
      maxConcurrent: 2,
    },
    anthropic: { thinking: 'adaptive' },
  };

  it('may be TOML', async () => {
    const path = file(
      'providers.toml',
      '[here]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nkey_file = "keys/here"\ndefault_model = "m-1"\n' +
        'max_concurrent = 2\n[anthropic]\nthinking = "adaptive"\n',
    );
    expect(await readProviders(path)).toEqual(expected);
  });

  it('may be JSON, and take files in the folder it lies in', async () => {
    const here = {
      kind: 'openai',
      base_url: 'http://127.0.0.1:9/v1',
      key_file: 'keys/here',
      default_model: 'm-1',
      max_concurrent: 2,
    };
    const read = await readProviders(file('p.json', { here, anthropic: { thinking: 'adaptive' } }));
    expect(read).toEqual(expected);
    expect(read['here']?.keyFile).toBe(join(folder, 'keys', 'here'));
  });

  it.each([
    ['no object', '[]', 'it must hold names'],
    ['a name that is none', { 'a b': { kind: 'openai' } }, '"a b": name must be'],
    ['no kind', { mine: {} }, '"mine"'],
    ['another kind', { mine: { kind: 'oracle' } }, 'one of engine, openai'],
    ['a field that is none', { openai: { base: 'x' } }, '"base" is no known argument'],
    ['an address that is none', { openai: { base_url: 'ftp://x' } }, 'baseUrl must be'],
    ['a number that is too large', { openai: { tries: 6 } }, '"openai"'],
    ['no JSON', '{"openai": {"key_env": "sesame"', 'it is not JSON'],
    ['__proto__', '{"__proto__": {"kind": "openai", "x": 1}}', '"__proto__"'],
  ])('with %s is refused', async (_, content, message) => {
    const path = file('p.json', content);
    const refused = await readProviders(path).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'CONFIG_INVALID', fields: { field: 'providers', value: path } });
    expect((refused as Error).message).toContain(message);
    expect((refused as Error).message).not.toContain('sesame');
  });

  it('that is not there, or no TOML, is refused', async () => {
    const refused = { code: 'CONFIG_INVALID' };
    await expect(readProviders(join(folder, 'absent.toml'))).rejects.toMatchObject(refused);
    await expect(readProviders(file('p.toml', 'x = '))).rejects.toMatchObject(refused);
  });
});

describe('a file of MCP servers', () => {
  it('is as other clients write it', async () => {
    const path = file('mcp.json', {
      mcpServers: {
        files: { command: 'npx', args: ['-y', 'server'], env: { API_KEY: 'k', lowerCase: 'v' }, cwd: '/tmp' },
        web: { type: 'http', url: 'https://example.com/mcp', headers: { Authorization: 'Bearer t' } },
        slow: { type: 'stdio', command: 'x', timeout_ms: 5 },
      },
    });
    expect(await readMcpServers(path)).toEqual([
      {
        name: 'files',
        connection: {
          kind: 'stdio',
          command: 'npx',
          args: ['-y', 'server'],
          env: { API_KEY: 'k', lowerCase: 'v' },
          cwd: '/tmp',
        },
      },
      {
        name: 'web',
        connection: { kind: 'http', url: 'https://example.com/mcp', headers: { Authorization: 'Bearer t' } },
      },
      { name: 'slow', connection: { kind: 'stdio', command: 'x' }, timeoutMs: 5 },
    ]);
  });

  it.each([
    ['nothing', {}, 'it has no mcpServers'],
    ['something else', { mcpServers: {}, servers: {} }, '"servers" is not known'],
    ['a long name', { mcpServers: { ['x'.repeat(25)]: { command: 'x' } } }, 'its name must be'],
    ['neither', { mcpServers: { a: {} } }, 'either a command or a url'],
    ['both', { mcpServers: { a: { command: 'x', url: 'http://x' } } }, 'either a command or a url'],
    ['another type', { mcpServers: { a: { type: 'http', command: 'x' } } }, 'not of the type http'],
    ['no address', { mcpServers: { a: { url: 'file:///etc/passwd' } } }, 'http or https'],
    [
      'a variable that is no text',
      { mcpServers: { a: { command: 'x', env: { A: 1 } } } },
      'env.A must be a text',
    ],
    ['arguments that are none', { mcpServers: { a: { command: 'x', args: 'y' } } }, 'args'],
    ['no object', '5', 'is not usable'],
  ])('with %s is refused', async (_, content, message) => {
    const refused = await readMcpServers(file('mcp.json', content)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'CONFIG_INVALID', fields: { field: 'mcp-servers' } });
    expect((refused as Error).message).toContain(message);
  });
});

it('whatever a file holds, it is read or refused as CONFIG_INVALID', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), fc.constantFrom('x.json', 'x.toml'), async (content, name) => {
      for (const read of [readProviders, readMcpServers]) {
        const result = await read(file(name, content)).catch((error: unknown) => error);
        if (result instanceof Error) expect((result as StompError).code).toBe('CONFIG_INVALID');
      }
    }),
    { numRuns: 100 },
  );
});
