/** Agents count in a table of one database, which also holds the sum: a SQLite file, or a schema of the run's own. */
import { basename, join } from 'node:path';
import { DatabaseGuard } from '../../../guard/index.js';
import { isPostgres } from '../../../storage/open.js';
import type { Counts, Scenario, Worker } from '../scenario.js';
import { guarded } from './guarded.js';

/** One for this process. */
let opened: Promise<DatabaseGuard> | undefined;

const databaseOf = ({ folder, database }: Worker) =>
  isPostgres(database) ? database : join(folder, 'counts.db');

// The folder's name is the run's own, which a table on a server must be too.
const tableOf = ({ folder }: Worker) => `"${basename(folder)}"`;

function open(worker: Worker): Promise<DatabaseGuard> {
  opened ??= DatabaseGuard.open(worker.maasl, { database: databaseOf(worker) });
  return opened;
}

export const databasesScenario: Scenario = {
  name: 'db',
  targets: ['counts'],

  async prepare(arena) {
    const guard = await open(arena);
    await guard.transaction(
      async (tx) => {
        await tx.execute(`CREATE TABLE ${tableOf(arena)} (agent text PRIMARY KEY, n integer NOT NULL)`);
        await tx.execute(`INSERT INTO ${tableOf(arena)} VALUES ('', 0)`);
      },
      { agentId: 'prepare', sessionId: 'prepare', maxWaitMs: arena.maxWaitMs },
    );
  },

  async change(worker, target) {
    const guard = await open(worker);
    const { agentId, maxWaitMs, ttlMs } = worker;
    const resource = { resourceClass: 'CRIT_DB', identifier: databaseOf(worker) };
    return guarded(worker, 'db', target, resource, () =>
      guard.transaction(
        async (tx) => {
          const table = tableOf(worker);
          const marks = tx.dialect === 'postgres' ? ['$1', '$2'] : ['?', '?'];
          const found = await tx.query<{ agent: string; n: number }>(
            `SELECT agent, n FROM ${table} WHERE agent IN ('', ${marks[0]})`,
            [agentId],
          );
          const count = (found.find(({ agent }) => agent === agentId)?.n ?? 0) + 1;
          const sum = (found.find(({ agent }) => agent === '')?.n ?? 0) + 1;
          await tx.execute(`UPDATE ${table} SET n = ${marks[0]} WHERE agent = ''`, [sum]);
          await tx.execute(
            `INSERT INTO ${table} VALUES (${marks[0]}, ${marks[1]}) ON CONFLICT (agent) DO UPDATE SET n = excluded.n`,
            [agentId, count],
          );
          return count;
        },
        { agentId, sessionId: agentId, maxWaitMs, ttlMs },
      ),
    );
  },

  async counts(arena) {
    const guard = await open(arena);
    const call = { agentId: arena.agentId, sessionId: arena.agentId };
    const rows = await guard.read(
      (tx) => tx.query<{ agent: string; n: number }>(`SELECT agent, n FROM ${tableOf(arena)}`),
      call,
    );
    const all = Object.fromEntries(rows.map(({ agent, n }) => [agent, n]));
    const { '': sum = 0, ...counts } = all satisfies Counts;
    const parts = Object.values(counts).reduce((total, n) => total + n, 0);
    if (parts !== sum) throw new Error(`the sum is ${sum}, its parts make ${parts}`);
    if (isPostgres(arena.database)) {
      await guard.transaction((tx) => tx.execute(`DROP TABLE ${tableOf(arena)}`), call);
    }
    await guard.close();
    opened = undefined;
    return counts;
  },
};
