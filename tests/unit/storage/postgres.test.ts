import { expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import { openStorage } from '../../../ts/storage/open.js';

it('refuses an address that is none, and does not show the password in it', async () => {
  const error = await openStorage('postgres://me:secret@db.example:port/db').catch(
    (thrown: StompError) => thrown,
  );
  expect(error).toMatchObject({ code: 'CONFIG_INVALID', fields: { setting: 'database' } });
  expect(JSON.stringify({ ...error, ...(error as StompError).fields })).not.toContain('secret');
  expect(String(error)).not.toContain('secret');
});
