import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EntryQueries } from '../../../ts/context/query.js';
import { PostgresStorage } from '../../../ts/storage/postgres.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { querySuite, type Start } from '../../unit/context/query.suite.js';
import { queryCheckSuite } from '../../unit/context/query-check.suite.js';
import { queryLargeSuite } from '../../unit/context/query-large.suite.js';
import { queryModelSuite } from '../../unit/context/query-model.suite.js';
import { Logs } from '../../unit/context/query-rig.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

let n = 0;

const start: Start = async () => {
  const storage = new PostgresStorage({ url: server.url, schema: `query_${++n}` });
  return { storage, close: () => storage.close() };
};

querySuite('on PostgreSQL', start);
queryLargeSuite('on PostgreSQL', start);
queryModelSuite('on PostgreSQL', start, 60);
queryCheckSuite('on PostgreSQL', start);

describe('the index of trigrams on PostgreSQL', () => {
  /** Looks for a part of a message in a new database after `prepare`. */
  const search = async (name: string, ...prepare: string[]) => {
    const admin = new pg.Client({ connectionString: server.url });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
    await admin.end();
    const url = server.url.replace(/\/postgres$/, `/${name}`);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    for (const sql of prepare) await client.query(sql);
    const storage = new PostgresStorage({ url });
    const logs = new Logs(storage);
    await logs.migrate();
    await logs.add({ message: 'Something Special' }, { message: 'else' });
    const { total } = await new EntryQueries(storage).query({ project: 'p', message: 'spec' });
    const { rows } = await client.query("SELECT 1 FROM pg_indexes WHERE indexname = 'entries_folded'");
    await storage.close();
    await client.end();
    return { total, indexes: rows.length };
  };

  it('is made, with an extension of its own or with one that lives elsewhere', async () => {
    expect(await search('with_none')).toEqual({ total: 1, indexes: 1 });
    const elsewhere = ['CREATE SCHEMA "Else where"', 'CREATE EXTENSION pg_trgm SCHEMA "Else where"'];
    expect(await search('with_another', ...elsewhere)).toEqual({ total: 1, indexes: 1 });
    expect(await search('without_public', 'DROP SCHEMA public')).toEqual({ total: 1, indexes: 1 });
  });

  it('is done without when the extension cannot be had', async () => {
    const inTheWay =
      'CREATE FUNCTION public.similarity(text, text) RETURNS float4 LANGUAGE sql AS $$ SELECT 1::float4 $$';
    expect(await search('with_something_else', inTheWay)).toEqual({ total: 1, indexes: 0 });
  });
});
