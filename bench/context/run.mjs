// Queries of a large progress log on both databases: `npm run bench:queries`. The exit status says whether it ran, with
// --strict also whether the target was met. --entries N, --spread month|hour, --only sqlite|postgres.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startPostgres } from '../../scripts/postgres-server.mjs';
import { percentile } from '../locks/times.mjs';
import { machine } from '../machine.mjs';
import { fill, lengths } from './fill.mjs';
import { isTarget, queries, queryOf } from './queries.mjs';

const targetMs = 20;
const rounds = 60;
const roundsOfSearches = 3;

const { values: options } = parseArgs({
  options: {
    entries: { type: 'string', default: '1000000' },
    spread: { type: 'string', default: 'month' },
    only: { type: 'string' },
    /** Queries whose names contain it. */
    match: { type: 'string', default: '' },
    /** A SQLite file or a PostgreSQL address: filled if it is empty, and kept. */
    keep: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
});
const count = Number(options.entries);

async function sqlite() {
  const { SqliteStorage } = await import('../../dist/storage/sqlite.js');
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
  const storage = new SqliteStorage({ path: options.keep ?? join(folder, 'stomp.db') });
  return {
    storage,
    settle: () => undefined,
    close: async () => {
      await storage.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function postgres() {
  const { PostgresStorage } = await import('../../dist/storage/postgres.js');
  const server = options.keep ? { url: options.keep, close: () => undefined } : await startPostgres();
  const schema = `bench_${options.spread}`;
  const storage = new PostgresStorage({ url: server.url, schema });
  return {
    storage,
    // What the server does by itself some time later.
    settle: async () => {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      for (const table of ['entries', 'entry_counts', 'entry_terms', 'metrics'])
        await client.query(`VACUUM ANALYZE ${schema}.${table}`);
      await client.end();
    },
    close: async () => {
      await storage.close();
      await server.close();
    },
  };
}

async function isFilled(storage) {
  const { rows } = await import('../../dist/storage/storage.js');
  const { contextMigrations } = await import('../../dist/context/schema.js');
  await storage.migrate(contextMigrations);
  return (await storage.read(() => rows('SELECT entries FROM metrics'))).length > 0;
}

async function timed(ask, most) {
  const samples = [];
  let total = 0;
  await ask(0); // the databases prepare what they are asked
  for (let i = 0; i < most; i++) {
    const began = performance.now();
    ({ total } = await ask(i));
    samples.push(performance.now() - began);
  }
  return { samples, total };
}

async function measure(open) {
  const { EntryQueries } = await import('../../dist/context/query.js');
  const { storage, settle, close } = await open();
  try {
    if (!(await isFilled(storage))) {
      const us = await fill(storage, count, lengths[options.spread]);
      console.log(`\n${storage.dialect}: ${us.toFixed(0)} us an entry in transactions of many\n`);
      await settle();
    }
    const log = new EntryQueries(storage);
    console.log('| query | total | p50 | p95 | p99 | |\n|---|---:|---:|---:|---:|---|');
    const asked = Object.entries(queries(count, options.spread));
    for (const [name, query] of asked.filter(([some]) => some.includes(options.match)))
      console.log(await line(name, (i) => log.query(queryOf(query(i)))));
  } finally {
    await close();
  }
}

async function line(name, ask) {
  const { samples, total } = await timed(ask, isTarget(name) ? rounds : roundsOfSearches);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(samples, share));
  const verdict = !isTarget(name) ? '' : p95 < targetMs ? 'ok' : 'short';
  if (verdict === 'short' && options.strict) process.exitCode = 1;
  return `| ${name} | ${total} | ${[p50, p95, p99].map((ms) => ms.toFixed(2)).join(' | ')} | ${verdict} |`;
}

try {
  const { cpu, cores, node } = machine();
  console.log(`${cpu}, ${cores} cores, Node ${node}; ${count} entries in a ${options.spread}; ms`);
  if (options.only !== 'postgres') await measure(sqlite);
  if (options.only !== 'sqlite') await measure(postgres);
} catch (error) {
  process.stderr.write(`npm run bench:queries: ${error.stack}\n`);
  process.exitCode = 1;
}
