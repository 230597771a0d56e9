import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clutchMigrations } from '../../../ts/clutch/store/schema.js';
import type { Entry, EntryStatus } from '../../../ts/context/entry.js';
import { entryColumns, insertEntries } from '../../../ts/context/entry-rows.js';
import { type TransferProgress, transferContext } from '../../../ts/context/transfer.js';
import type { StompError } from '../../../ts/errors.js';
import { lockMigrations } from '../../../ts/guard/sql-schema.js';
import { rows, type Storage } from '../../../ts/storage/storage.js';
import { addProject, addSession, all, type Bench, run, setProject } from './bench.js';

/** Names that databases order differently when they are left to. */
const names = ['b', 'A', 'a', 'Ä', 'z-1', 'z 1', '\u{ffee}', '\u{1f600}', "it's", '%_', 'B'];
const statuses: EntryStatus[] = ['info', 'success', 'warn', 'error', 'bug', 'plan'];

function entry(project: string, line: number): Entry {
  return {
    id: `${project}/${line}`,
    project,
    line,
    ts: 1_700_000_000_000 + ((line * 7919) % 1000),
    agent: `agent ${line % 3}`,
    session_id: line % 2 ? 's1' : null,
    status: statuses[line % 6] ?? 'info',
    emoji: '✅',
    priority: 'medium',
    category: line % 3 ? 'c' : null,
    tags: ['a', 'ä, "b"'],
    confidence: line % 4 ? line / 7 : null,
    message: `line ${line}\nwith | ; "quotes" \u{1f600} example`,
    meta: { n: line, deep: { list: [1, null, 'x'] } },
    token: `${9_007_199_254_740_993n + BigInt(line)}`,
    sha256: `${line}`.padStart(64, '0'),
  };
}

/** Something in every table. */
export async function fill(storage: Storage): Promise<void> {
  for (const name of names) await addProject(storage, name);
  for (const name of names) await addSession(storage, `session ${name}`, { agent: name });
  for (let n = 0; n < 30; n++) await setProject(storage, `agent ${n % 12}`, names[n % 11] ?? null, n);
  await setProject(storage, 'agent 1', null);
  const logs = [...names.slice(0, 4).map((name, i) => [name, 5 * i + 3] as const), ['deleted', 7] as const];
  for (const [project, lines] of logs) {
    await storage.write(function* () {
      yield* rows("INSERT INTO metrics VALUES (?, 0, 0, 0, 0, 0, 0, 0, NULL, '')", project);
      yield* insertEntries(Array.from({ length: lines }, (_, i) => entry(project, i + 1)));
      yield* rows('INSERT INTO progress_logs VALUES (?, 3, 100, 1, ?)', project, lines);
      for (const number of [1, 2, 10])
        yield* rows(
          "INSERT INTO progress_log_archives VALUES (?, ?, '/a', 1, 1, 1, 'x', 1)",
          project,
          number,
        );
    });
  }
  await run(storage, "INSERT INTO metrics VALUES ('empty', 0, 0, 0, 0, 0, 0, 0, NULL, 'a head of its own')");
}

const contents = {
  projects: 'SELECT * FROM projects',
  sessions: 'SELECT * FROM agent_sessions',
  current: 'SELECT * FROM agent_projects',
  metrics: 'SELECT * FROM metrics',
  entries: `SELECT ${entryColumns} FROM entries`,
  logs: 'SELECT * FROM progress_logs',
  archives: 'SELECT * FROM progress_log_archives',
};

/** Everything, in an order that no database has a say in. */
export async function contentsOf(storage: Storage): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  const spelled = (row: object) =>
    JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
  for (const [name, sql] of Object.entries(contents))
    found[name] = (await all(storage, sql)).map(spelled).sort();
  const events = await all(storage, 'SELECT * FROM agent_project_events ORDER BY id');
  found.events = events.map(({ id: _id, ...event }) => spelled(event));
  return found;
}

export function transferSuite(where: string, startSource: () => Bench, startTarget: () => Bench): void {
  describe(`moving ${where}`, () => {
    let benches: Bench[];
    let from: Storage;
    let to: Storage;

    beforeEach(async () => {
      benches = [startSource(), startTarget()];
      [from, to] = (await Promise.all(benches.map((bench) => bench.open()))) as [Storage, Storage];
      await fill(from);
    });
    afterEach(async () => {
      for (const bench of benches) await bench.close();
    });

    it('moves all of it, says how much, and leaves the source as it was', async () => {
      const before = await contentsOf(from);
      const progress: TransferProgress[] = [];
      const result = await transferContext(from, to, {
        batchRows: 4,
        onProgress: (step) => progress.push(step),
      });
      expect(await contentsOf(to)).toEqual(before);
      expect(await contentsOf(from)).toEqual(before);
      expect(result.resumed).toBe(false);
      expect(result.left).toEqual([]);
      expect(Object.fromEntries(result.tables.map(({ table, rows: n }) => [table, n]))).toEqual({
        projects: 11,
        agent_sessions: 11,
        agent_projects: 12,
        agent_project_events: 31,
        metrics: 6,
        entries: 49,
        progress_logs: 5,
        progress_log_archives: 15,
      });
      expect(result.tables.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
      const last = progress.filter(({ table }) => table === 'entries').at(-1);
      expect(last).toEqual({ phase: 'verify', table: 'entries', rows: 49, total: 49 });
    });

    it('says what else the source holds, and why it stays', async () => {
      await from.migrate([...clutchMigrations, ...lockMigrations]);
      await run(from, "INSERT INTO stomp_lock_fences VALUES ('code:/a', 7)");
      await run(from, "INSERT INTO clutch_rules VALUES ('r', '', 'run_script', '/a', 'g', 'ann', 1)");
      await run(from, 'CREATE TABLE "my ""own""" (n INTEGER)');
      await run(from, 'INSERT INTO "my ""own""" VALUES (1), (2)');
      const { left } = await transferContext(from, to);
      expect(left.map((one) => [one.table, one.rows, one.why.slice(0, 20)]).sort()).toEqual([
        ['clutch_rules', 1, 'runs, gates and rule'],
        ['my "own"', 2, 'no table of the cont'],
        ['stomp_lock_fences', 1, 'leases and fencing t'],
      ]);
    });

    it('gives the same hashes in whatever batches', async () => {
      const { tables } = await transferContext(from, to, { batchRows: 1 });
      const other = startSource();
      benches.push(other);
      expect((await transferContext(from, await other.open(), { batchRows: 100 })).tables).toEqual(tables);
    });

    it('moves what has been moved on to another one', async () => {
      const there = await transferContext(from, to);
      const back = startSource();
      benches.push(back);
      const storage = await back.open();
      expect((await transferContext(to, storage)).tables).toEqual(there.tables);
      expect(await contentsOf(storage)).toEqual(await contentsOf(from));
    });

    it('lets new entries and events follow those that were moved', async () => {
      await transferContext(from, to);
      await setProject(to, 'agent 0', 'A');
      await to.write(() => insertEntries([entry('b', 4)]));
      const [latest] = await all(to, 'SELECT agent_id FROM agent_project_events ORDER BY id DESC LIMIT 1');
      expect(latest).toEqual({ agent_id: 'agent 0' });
      expect(await all(to, "SELECT entries FROM metrics WHERE project = 'b'")).toEqual([{ entries: 4n }]);
    });

    it('goes on where it was stopped', async () => {
      let batches = 0;
      for (let stops = 0; ; stops++) {
        const stop = new AbortController();
        const outcome = await transferContext(from, to, {
          batchRows: 7,
          signal: stop.signal,
          onProgress: ({ phase }) => {
            if (phase === 'copy') batches++;
            stop.abort(new Error('enough'));
          },
        }).catch((error: StompError) => error.code);
        if (outcome === 'CANCELLED' && stops < 20) continue;
        expect(stops).toBeGreaterThan(10);
        break;
      }
      const result = await transferContext(from, to, { batchRows: 7 });
      expect(result.resumed).toBe(true);
      expect(await contentsOf(to)).toEqual(await contentsOf(from));
      expect(batches).toBeGreaterThan(10);
    });

    it('finds what differs at the end, and says in which tables', async () => {
      const tamper = async ({ phase, table }: TransferProgress) => {
        if (phase === 'copy' && table === 'progress_log_archives')
          tampered ??= run(to, "UPDATE entries SET message = 'changed' WHERE id = 'b/2'");
      };
      let tampered: Promise<void> | undefined;
      const failure = await transferContext(from, to, { onProgress: (step) => void tamper(step) }).catch(
        (error: StompError) => error,
      );
      await tampered;
      expect(failure).toMatchObject({
        code: 'STATE_INVALID',
        fields: {
          tables: [{ source: { table: 'entries', rows: 49 }, target: { table: 'entries', rows: 49 } }],
        },
      });
      await run(to, "DELETE FROM progress_logs WHERE project = 'b'");
      await expect(transferContext(from, to)).rejects.toThrow(
        /progress_logs \(5 rows in the source, 4 in the target\)/,
      );
    });

    it('refuses a target that holds something else, and changes nothing in it', async () => {
      await addProject(to, 'mine');
      await expect(transferContext(from, to)).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining('projects'),
      });
      expect((await contentsOf(to)).projects).toHaveLength(1);
      await run(to, 'DELETE FROM projects');
      await transferContext(from, to);
      await expect(transferContext(from, to)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    });

    it('refuses to go on with another source, and to copy onto itself', async () => {
      const stop = new AbortController();
      const begun = transferContext(from, to, { signal: stop.signal, onProgress: () => stop.abort() });
      await expect(begun).rejects.toMatchObject({ code: 'CANCELLED' });
      const other: Pick<Storage, 'dialect' | 'name' | 'read'> = {
        dialect: from.dialect,
        name: 'somewhere else',
        read: (work) => from.read(work),
      };
      await expect(transferContext(other as Storage, to)).rejects.toThrow(/is being filled from/);
      await expect(transferContext(from, from)).rejects.toThrow(/the source itself/);
    });

    it.each([[{ batchRows: 0 }], [{ signal: 'no' as never }], [{ onProgress: 7 as never }]])(
      'refuses options that are none: %j',
      async (options) => {
        await expect(transferContext(from, to, options)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      },
    );
  });
}
