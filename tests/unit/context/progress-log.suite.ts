/** What a progress log promises, over any database. */
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatLine, parseLine } from '../../../ts/context/line.js';
import { newEntries } from '../../../ts/context/new-entry.js';
import { StompError } from '../../../ts/errors.js';
import { chainedHash } from '../../../ts/storage/log-text.js';
import { rows } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';
import { ann, entriesOf, linesOf, query, Rig, startMs, write } from './progress-log.rig.js';

export function progressLogSuite(name: string, backend: () => Promise<TestDatabase>): void {
  describe(`a progress log ${name}`, () => {
    let rig: Rig;
    beforeEach(async () => {
      rig = new Rig(await backend());
    });
    afterEach(() => rig.close());

    it('gives back what it has stored, and has it as row and as line', async () => {
      const log = await rig.open();
      const project = rig.project();
      const {
        entries,
        duplicates,
        log: file,
      } = await write(log, project, { message: 'First', status: 'success', meta: { by: 'hand' } }, 'Second');
      expect(duplicates).toEqual([]);
      expect(file).toEqual({ path: project.progress_log_path, written: true });
      expect(entries).toMatchObject([
        { project: 'apollo', line: 1, agent: 'ann', session_id: 'ann-1', message: 'First', ts: startMs },
        { project: 'apollo', line: 2, message: 'Second' },
      ]);
      expect(await entriesOf(await rig.storage(), project)).toEqual(entries);
      const [header, ...lines] = linesOf(project);
      expect(header).toBe('# Progress log of apollo | file=1; first_line=1; head=');
      expect(lines).toEqual(entries.map(formatLine));
      expect(lines[0]).toContain('] First | by=hand; @id=');
    });

    it('chains its lines, so that each hash covers all before', async () => {
      const log = await rig.open();
      const project = rig.project();
      await write(log, project, 'a', 'b');
      const { entries } = await write(log, project, 'c');
      let head = '';
      for (const line of linesOf(project).slice(1)) head = chainedHash(head, line);
      expect(entries[0]?.sha256).toBe(head);
      const [metrics] = await query(await rig.storage(), 'SELECT entries, head FROM metrics');
      expect(metrics).toEqual({ entries: 3n, head });
    });

    it('writes under rising tokens, which the lines name', async () => {
      const log = await rig.open();
      const project = rig.project();
      const one = await write(log, project, 'a');
      const two = await write(log, project, 'b');
      const [a = '', b = ''] = [one, two].map(({ entries }) => entries[0]?.token);
      expect(BigInt(b)).toBeGreaterThan(BigInt(a));
      expect(linesOf(project).slice(1).map(parseLine)).toMatchObject([{ token: a }, { token: b }]);
    });

    it('takes an id once, and says that it was there', async () => {
      const log = await rig.open();
      const project = rig.project();
      const item = { message: 'a', id: 'x', meta: { a: 1, b: [2] } };
      const first = await write(log, project, item);
      const later = newEntries([item], startMs + 5000);
      const again = await log.append(project, later, { ...ann, sessionId: 'ann-2' });
      expect(again).toMatchObject({ entries: first.entries, duplicates: ['x'], log: { written: true } });
      expect(linesOf(project)).toHaveLength(2);
      expect(await query(await rig.storage(), 'SELECT entries, info FROM metrics')).toEqual([
        { entries: 1n, info: 1n },
      ]);
    });

    it('takes an id once also within one call, and from two at the same time', async () => {
      const log = await rig.open();
      const project = rig.project();
      const item = { message: 'a', id: 'x' };
      const both = await Promise.all([write(log, project, item, item), write(log, project, item)]);
      expect(both.map(({ duplicates }) => duplicates)).toEqual([['x'], ['x']]);
      expect(linesOf(project)).toHaveLength(2);
    });

    it.each([
      ['another message', { message: 'b', id: 'x' }],
      ['another status', { message: 'a', id: 'x', status: 'bug' as const }],
      ['other meta', { message: 'a', id: 'x', meta: { a: 1 } }],
      ['another time', { message: 'a', id: 'x', timestamp: 5 }],
    ])('refuses an id that is there with %s, and all of that call', async (_, item) => {
      const log = await rig.open();
      const project = rig.project();
      const { entries } = await write(log, project, { message: 'a', id: 'x' });
      const refused = await write(log, project, 'new', item).catch((error) => error);
      expect(refused).toMatchObject({
        code: 'ENTRY_EXISTS',
        fields: { id: 'x', project: 'apollo', line: 1, sha256: entries[0]?.sha256 },
      });
      expect(linesOf(project)).toHaveLength(2);
    });

    it('refuses an id that another project has', async () => {
      const log = await rig.open();
      await write(log, rig.project('one'), { message: 'a', id: 'x' });
      await expect(write(log, rig.project('two'), { message: 'a', id: 'x' })).rejects.toMatchObject({
        code: 'ENTRY_EXISTS',
        fields: { project: 'one' },
      });
    });

    it('brings calls that wait into the file together, each for itself', async () => {
      const log = await rig.open();
      const project = rig.project();
      const no = new StompError('SESSION_EXPIRED', 'no');
      const calls = Array.from({ length: 20 }, (_, i) =>
        log.append(project, newEntries([`of ${i}`], startMs), {
          agentId: `agent-${i}`,
          sessionId: null,
          within: function* () {
            yield* rows('UPDATE metrics SET bug = bug + 1000 WHERE project = ?', project.name);
            if (i % 5 === 0) throw no;
            yield* rows('UPDATE metrics SET bug = bug - 1000 WHERE project = ?', project.name);
          },
        }),
      );
      const settled = await Promise.allSettled(calls);
      settled.forEach((one, i) => {
        if (i % 5 === 0) expect(one).toEqual({ status: 'rejected', reason: no });
        else expect(one).toMatchObject({ value: { entries: [{ agent: `agent-${i}`, session_id: null }] } });
      });
      const parsed = linesOf(project).slice(1).map(parseLine);
      expect(parsed.map(({ agent, message }) => [agent, message])).toEqual(
        Array.from({ length: 20 }, (_, i) => [`agent-${i}`, `of ${i}`]).filter((_, i) => i % 5 !== 0),
      );
      // One lease for all that waited while the first one was at work, or for all at once.
      expect(new Set(parsed.map(({ token }) => token)).size).toBeLessThanOrEqual(2);
      // What a call that failed had written is gone.
      expect(await query(await rig.storage(), 'SELECT bug, entries FROM metrics')).toEqual([
        { bug: 0n, entries: 16n },
      ]);
    });

    it('keeps projects and processes apart that write at once', async () => {
      const logs = await Promise.all([rig.open(), rig.open(), rig.open()]);
      const projects = [rig.project('one'), rig.project('two')];
      const calls = logs.flatMap((log, i) =>
        Array.from({ length: 10 }, (_, n) =>
          projects.map((project) => write(log, project, `${project.name} ${i} ${n}`)),
        ),
      );
      await Promise.all(calls.flat());
      for (const project of projects) {
        const entries = await entriesOf(await rig.storage(), project);
        expect(entries.map(({ line }) => line)).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
        expect(new Set(entries.map(({ message }) => message)).size).toBe(30);
        expect(entries.every(({ message }) => message.startsWith(project.name))).toBe(true);
        expect(linesOf(project).slice(1)).toEqual(entries.map(formatLine));
      }
    });

    it('takes a thousand entries at once', async () => {
      const log = await rig.open();
      const project = rig.project();
      const { entries } = await write(log, project, ...Array.from({ length: 1000 }, (_, i) => `n ${i}`));
      expect(entries).toHaveLength(1000);
      expect(linesOf(project).slice(1)).toEqual(entries.map(formatLine));
    });

    it('writes nothing of a call that is cancelled while it waits', async () => {
      const { maasl } = await openMaasl(rig);
      const log = await rig.open({ maasl });
      const project = rig.project();
      const lease = await maasl.locks.acquire(`code:${project.progress_log_path}`, ann);
      const abort = new AbortController();
      const waiting = log.append(project, newEntries(['never'], startMs), { ...ann, signal: abort.signal });
      const patient = write(log, project, 'patient');
      setTimeout(() => abort.abort(), 20);
      await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
      await lease.release();
      await patient;
      await expect(
        log.append(project, newEntries(['never'], startMs), { ...ann, signal: abort.signal }),
      ).rejects.toMatchObject({ code: 'CANCELLED' });
      expect((await entriesOf(await rig.storage(), project)).map(({ message }) => message)).toEqual([
        'patient',
      ]);
    });

    it('keeps others out of the file while it writes, and waits for those who are at it', async () => {
      const { maasl } = await openMaasl(rig);
      const log = await rig.open({ maasl, maxWaitMs: 200 });
      const project = rig.project();
      const lease = await maasl.locks.acquire(`code:${project.progress_log_path}`, ann);
      await expect(write(log, project, 'a')).rejects.toMatchObject({
        code: 'RESOURCE_BUSY',
        fields: { holder_agent_id: 'ann' },
      });
      await lease.release();
      await write(log, project, 'b');
      expect((await entriesOf(await rig.storage(), project)).map(({ message }) => message)).toEqual(['b']);
    });

    it('writes nothing more when it is closed', async () => {
      const log = await rig.open();
      const project = rig.project();
      const last = write(log, project, 'a');
      await log.close();
      expect(await last).toMatchObject({ log: { written: true } });
      await expect(write(log, project, 'b')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    });

    it('stores entries whose project has no folder any more', async () => {
      const log = await rig.open();
      const project = rig.project();
      rmSync(project.root, { recursive: true });
      const { entries, log: file } = await write(log, project, 'a');
      expect(entries).toMatchObject([{ line: 1, message: 'a' }]);
      expect(file).toMatchObject({ written: false, error: { code: 'LOG_UNWRITABLE' } });
      expect(await entriesOf(await rig.storage(), project)).toEqual(entries);
      rig.project();
      await write(log, project, 'b');
      expect(linesOf(project)).toHaveLength(3);
    });
  });
}

async function openMaasl(rig: Rig) {
  const { Maasl } = await import('../../../ts/guard/maasl.js');
  return { maasl: await Maasl.open({ database: await rig.storage() }) };
}
