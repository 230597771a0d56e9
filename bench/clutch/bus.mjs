/**
 * How many events a second the bus takes and has on disk: `npm run bench:bus`. 100 producers emit 1,000 each, one after
 * the other each, with a follower; against better-sqlite3 alone, which commits one row after another into such a file.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { EventBus } from '../../dist/clutch/events/event-bus.js';
import { clutchMigrations } from '../../dist/clutch/store/schema.js';
import { SqliteStorage } from '../../dist/storage/sqlite.js';
import { wallClock } from '../../dist/storage/wall-clock.js';
import { median } from '../statistics.mjs';

const producers = 100;
const each = 1000;
const rounds = 5;
const alone = 5000;

function secondsSince(start) {
  return (performance.now() - start) / 1e3;
}

/** @returns events a second, from the first emit until all are in the file and were followed */
async function ours(folder) {
  const storage = new SqliteStorage({ path: join(folder, 'bus.db') });
  await storage.migrate(clutchMigrations);
  const onWarning = (error) => console.warn(error);
  const bus = new EventBus({ storage, clock: wallClock(storage), onWarning });
  await bus.started();
  const follower = new AbortController();
  const all = producers * each;
  const followed = (async () => {
    let count = 0;
    for await (const _ of bus.follow(0, follower.signal)) if (++count === all) return;
  })();
  const start = performance.now();
  await Promise.all(
    Array.from({ length: producers }, async (_, i) => {
      for (let n = 0; n < each; n++)
        await bus.emit({ type: 'text', run_id: `run${i}`, body: { text: `word ${n} `, reasoning: '' } });
    }),
  );
  await bus.recorded();
  await followed;
  const rate = all / secondsSince(start);
  await bus.close();
  await storage.close();
  return rate;
}

/** @returns rows a second, each in a transaction of its own */
function rowByRow(folder) {
  const database = new Database(join(folder, 'rows.db'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec(
    'create table events (seq integer primary key, type text, run_id text, at integer, body text)',
  );
  const insert = database.prepare('insert into events (type, run_id, at, body) values (?, ?, ?, ?)');
  const start = performance.now();
  for (let n = 0; n < alone; n++)
    insert.run(
      'text',
      `run${n % producers}`,
      Date.now(),
      JSON.stringify({ text: `word ${n} `, reasoning: '' }),
    );
  const rate = alone / secondsSince(start);
  database.close();
  return rate;
}

const rates = { ours: [], rowByRow: [] };
for (let round = 0; round < rounds; round++) {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-bus-'));
  rates.ours.push(await ours(folder));
  rates.rowByRow.push(rowByRow(folder));
  rmSync(folder, { recursive: true });
}
const [bus, rows] = [median(rates.ours), median(rates.rowByRow)];
console.log(`${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}; medians of ${rounds}`);
console.log(`bus: ${bus.toFixed(0)} events/s on disk and followed, ${producers} producers x ${each}`);
console.log(
  `better-sqlite3, a transaction a row: ${rows.toFixed(0)} rows/s; ratio ${(bus / rows).toFixed(2)}`,
);
