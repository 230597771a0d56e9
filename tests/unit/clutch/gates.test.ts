import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe } from 'vitest';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { gatesSuite } from './gates.suite.js';

describe('gates on SQLite', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-gates-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  gatesSuite(() => Promise.resolve(new SqliteStorage({ path: join(folder, 'clutch.db') })));
});
