import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../../ts/context/check.js';
import { databaseChecks } from '../../../ts/context/database-checks.js';
import { runChecks } from '../../../ts/context/doctor.js';
import { StateMirror } from '../../../ts/context/mirror.js';
import { contextMigrations } from '../../../ts/context/schema.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { wallClock } from '../../../ts/storage/wall-clock.js';
import { addProject, addSession, all, type Bench, run, setProject } from './bench.js';
import { fill } from './transfer.suite.js';

const hourMs = 3_600_000;
const now = 100 * hourMs;

export function doctorSuite(where: string, start: () => Bench): void {
  describe(`the doctor ${where}`, () => {
    let bench: Bench;
    let storage: Storage;
    let path: string;
    let checks: Check[];

    beforeEach(async () => {
      bench = start();
      storage = await bench.open();
      path = join(bench.folder, 'state.json');
      checks = databaseChecks({
        storage,
        migrations: contextMigrations,
        clock: wallClock(storage, () => now),
        mirror: new StateMirror({ storage, path }),
      });
      await addProject(storage, 'a');
      await addProject(storage, 'b');
      await addSession(storage, 's');
      await setProject(storage, 'A', 'a', 5);
      await setProject(storage, 'A', 'b', 6);
      await new StateMirror({ storage, path }).update();
    });
    afterEach(() => bench.close());

    /** Finds it without a change, repairs it, and finds nothing any more. */
    const expectCured = async (subject: string, problem: RegExp, repair: RegExp) => {
      const found = await runChecks(checks);
      expect(found).toMatchObject({ ok: false, repaired: 0, failed: [] });
      expect(found.findings).toMatchObject([
        { subject, problem: expect.stringMatching(problem), repair: null },
      ]);
      const mended = await runChecks(checks, { repair: true });
      // The file shows what was repaired before it was looked at.
      const [first, ...rest] = mended.findings;
      expect(mended).toMatchObject({ ok: true, failed: [] });
      expect(first).toMatchObject({ subject, repair: expect.stringMatching(repair) });
      expect(rest.every(({ check }) => check === 'state file')).toBe(true);
      expect(await runChecks(checks)).toMatchObject({ ok: true, findings: [] });
    };

    it('finds nothing in a database that is whole', async () => {
      expect(await runChecks(checks, { repair: true })).toEqual({
        ok: true,
        checks: ['structure', 'sessions', 'indexes', 'versions', 'references', 'logs', 'state file'],
        findings: [],
        repaired: 0,
        failed: [],
        summary: ['7 checks, 0 findings: 0 repaired, 0 still to be repaired, 0 checks failed.'],
      });
    });

    it('clears the current project of an agent that does not exist, and keeps the version', async () => {
      await bench.damage("UPDATE agent_projects SET project_name = 'gone'");
      await new StateMirror({ storage, path }).update();
      await expectCured('A', /"gone" does not exist/, /now has none/);
      expect(await all(storage, 'SELECT project_name, version FROM agent_projects')).toEqual([
        { project_name: null, version: 2n },
      ]);
      const [event] = await all(storage, 'SELECT * FROM agent_project_events ORDER BY id DESC LIMIT 1');
      expect(event).toMatchObject({
        event_type: 'project_cleared',
        from_project: 'gone',
        actual_version: 2n,
      });
    });

    it('makes a session anew that a current project was set in', async () => {
      await run(storage, 'DELETE FROM agent_sessions');
      await expectCured('A', /session s, which/, /expired/);
      expect(await all(storage, 'SELECT id, agent_id, status FROM agent_sessions')).toEqual([
        { id: 's', agent_id: 'A', status: 'expired' },
      ]);
    });

    it('marks sessions as expired whose lease is long over, and no others', async () => {
      await addSession(storage, 'old', { agent: 'B', status: 'active', expiresAt: now - hourMs - 1 });
      await addSession(storage, 'late', { agent: 'C', status: 'active', expiresAt: now - hourMs });
      await expectCured('session old of B', /lease ran out at 1970-01-05/, /marked as expired/);
      expect(await all(storage, 'SELECT id, reason FROM agent_sessions WHERE status = ?', 'active')).toEqual([
        { id: 'late', reason: null },
      ]);
      const events = await all(
        storage,
        "SELECT session_id, metadata FROM agent_project_events WHERE event_type = 'session_expired'",
      );
      expect(events).toEqual([{ session_id: 'old', metadata: '{"reason":"lease","by":"doctor"}' }]);
    });

    it('leaves one active session of an agent, the latest, and makes the index anew that sees to it', async () => {
      await run(storage, 'DROP INDEX agent_sessions_one');
      for (const [id, startedAt] of [
        ['x', 1],
        ['y', 3],
        ['z', 2],
      ] as const)
        await addSession(storage, id, { agent: 'B', status: 'active', startedAt, expiresAt: now + 1 });
      const found = await runChecks(checks);
      expect(found.findings.map(({ subject }) => subject)).toEqual([
        'session x of B',
        'session z of B',
        'agent_sessions_one',
      ]);
      expect(await runChecks(checks, { repair: true })).toMatchObject({ ok: true, repaired: 3 });
      expect(await runChecks(checks)).toMatchObject({ ok: true, findings: [] });
      expect(await all(storage, "SELECT id FROM agent_sessions WHERE status = 'active'")).toEqual([
        { id: 'y' },
      ]);
      await expect(addSession(storage, 'again', { agent: 'B', status: 'active' })).rejects.toThrow();
    });

    it('raises a version that is behind its events', async () => {
      await run(storage, 'UPDATE agent_projects SET version = 1');
      await new StateMirror({ storage, path }).update();
      await expectCured('A', /at version 1, though its events tell of version 2/, /raised to version 2/);
      await setProject(storage, 'A', 'a');
      expect(await all(storage, 'SELECT version FROM agent_projects')).toEqual([{ version: 3n }]);
    });

    it('makes a current project anew of which only the events are left', async () => {
      await run(storage, 'DELETE FROM agent_projects');
      await new StateMirror({ storage, path }).update();
      await expectCured('A', /missing/, /the project "b" at version 2/);
      expect(await all(storage, 'SELECT project_name, version, session_id FROM agent_projects')).toEqual([
        { project_name: 'b', version: 2n, session_id: 's' },
      ]);
    });

    it('counts entries again that nobody counts', async () => {
      const other = start();
      const filled = await other.open();
      await fill(filled);
      const before = await all(filled, "SELECT * FROM metrics WHERE project = 'A'");
      await run(filled, "DELETE FROM metrics WHERE project = 'A'");
      const logs = databaseChecks({
        storage: filled,
        migrations: [],
        clock: wallClock(filled, () => now),
      }).filter(({ name }) => name === 'logs');
      expect((await runChecks(logs)).findings[0]).toMatchObject({ subject: 'A', repair: null });
      const { findings } = await runChecks(logs, { repair: true });
      expect(findings[0]).toMatchObject({ subject: 'A', repair: 'They were counted: 8.' });
      expect(await all(filled, "SELECT * FROM metrics WHERE project = 'A'")).toEqual(before);
      // Of a project that was deleted it tells, without calling it damage.
      const again = await runChecks(logs);
      expect(again.findings).toMatchObject([{ subject: 'deleted', harmless: true, repair: null }]);
      expect(again.ok).toBe(true);
      await other.close();
    });

    it('writes the state file anew when it says something else', async () => {
      rmSync(path);
      await expectCured(path, /no state file/, /written anew/);
      writeFileSync(path, '{"format": 1, "current": {}, "recent_projects": ["b", "a"]}');
      await expectCured('A', /the database project "b"/, /written anew/);
    });

    it('goes on after a check that fails, and says so', async () => {
      const failing: Check = { name: 'failing', run: () => Promise.reject(new Error('no such table')) };
      const report = await runChecks([failing, ...checks]);
      expect(report).toMatchObject({ ok: false, failed: [{ check: 'failing', problem: 'no such table' }] });
      expect(report.checks).toHaveLength(8);
      expect(report.summary).toContain('failing: the check came to no end: no such table');
    });

    it('says where it is, and stops between two checks', async () => {
      const stop = new AbortController();
      const seen: string[] = [];
      const stopped = runChecks(checks, {
        signal: stop.signal,
        onProgress: ({ check, number, total }) => {
          seen.push(`${check} ${number}/${total}`);
          if (number === 2) stop.abort();
        },
      });
      await expect(stopped).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(seen).toEqual(['structure 1/7', 'sessions 2/7']);
    });
  });
}
