/** What opening needs, and that nothing stays open of a clutch that could not be opened. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { openClutch } from '../../../ts/clutch/index.js';
import { isAlive } from '../../../ts/process-alive.js';
import { TestClutch } from './open-test-clutch.js';
import { turns } from './scripted-model.js';

it('lets nothing run on when it fails', async () => {
  const { options, folder } = await TestClutch.open(turns());
  const pid = join(folder, 'pid');
  const server = pathToFileURL(join(import.meta.dirname, 'mcp-server.mjs')).href;
  const program = `require('fs').writeFileSync(${JSON.stringify(pid)}, String(process.pid)); import('${server}')`;
  const connection = { kind: 'stdio', command: process.execPath, args: ['-e', program] } as const;
  const opening = openClutch({
    ...options,
    mcpServers: [{ name: 'box', connection }],
    defaultProvider: 'nobody',
  });
  await expect(opening).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  await expect.poll(() => isAlive(Number(readFileSync(pid, 'utf8')))).toBe(false);
});

it('needs a folder for the audit', async () => {
  const { options } = await TestClutch.open(turns());
  for (const auditFolder of ['', undefined as unknown as string])
    await expect(openClutch({ ...options, auditFolder })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
});
