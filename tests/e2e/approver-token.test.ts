/** Several servers of one person: each lets the others keep the token by which that person decides. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { ServerProcess, serve, temporaryFolder } from './server-process.js';

it('a second server takes the token of the first, and takes it away from nobody', async () => {
  const first = await serve();
  const path = join(dirname(first.database), 'approver-token');
  const kept = () => readFileSync(path, 'utf8').trim();
  const token = kept();

  const { database, cacheDir } = first;
  const refused = await new ServerProcess({ database, cacheDir }).finished();
  expect(refused).toMatchObject({ code: 1, err: expect.stringMatching(/in use by process \d+/) });
  expect(kept()).toBe(token);

  const second = await serve({ database, cacheDir: temporaryFolder() });
  expect(second.out).toContain(`#token=${token}`);
  await first.stop('SIGINT');
  expect(kept()).toBe(token);
  await second.stop('SIGKILL');

  const third = await serve({ database, cacheDir });
  expect(kept()).not.toBe(token);
  await third.stop('SIGINT');
  expect(existsSync(path)).toBe(false);
});
