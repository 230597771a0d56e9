import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { knownSecrets } from '../../../ts/clutch/audit/known-secrets.js';
import type { ClutchOptions } from '../../../ts/clutch/clutch.js';

it('are those of the environment, of key files, of MCP servers, and those that are named', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-secrets-'));
  const keyFile = join(folder, 'key');
  writeFileSync(keyFile, 'planted-in-a-file\n', { mode: 0o600 });
  const options: Partial<ClutchOptions> = {
    secrets: ['named'],
    providers: { one: { kind: 'openai', keyFile }, two: { kind: 'openai', keyFile: join(folder, 'none') } },
    mcpServers: [
      {
        name: 'a',
        connection: { kind: 'http', url: 'http://a', headers: { 'x-who': 'planted-in-a-header' } },
      },
      {
        name: 'b',
        connection: { kind: 'stdio', command: 'b', env: { B_TOKEN: 'planted-in-env', B: 'harmless' } },
      },
    ],
  };
  const environment = { SOME_API_KEY: 'planted-outside', SHORT_TOKEN: 'abc', PWD: '/home/ann/work' };
  expect(knownSecrets(options as ClutchOptions, environment).sort()).toEqual(
    ['named', 'planted-in-a-file', 'planted-in-a-header', 'planted-in-env', 'planted-outside'].sort(),
  );
  rmSync(folder, { recursive: true });
});
