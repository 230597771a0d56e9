/** What becomes of a log whose file is not what it was, over any database. */
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatLine } from '../../../ts/context/line.js';
import type { ProgressLog } from '../../../ts/context/progress-log.js';
import type { Project } from '../../../ts/context/types.js';
import type { Storage } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';
import { change, entriesOf, filesOf, linesOf, query, Rig, write } from './progress-log.rig.js';

export function logRecoverySuite(name: string, backend: () => Promise<TestDatabase>): void {
  describe(`the file of a progress log ${name}`, () => {
    let rig: Rig;
    let log: ProgressLog;
    let project: Project;
    let path: string;
    let storage: Storage;
    beforeEach(async () => {
      rig = new Rig(await backend());
      log = await rig.open({ rotateBytes: 2000 });
      project = rig.project();
      path = project.progress_log_path;
      storage = await rig.storage();
    });
    afterEach(() => rig.close());

    const problems = async () => (await log.audit(project)).problems.map(({ problem }) => problem);
    const expectWhole = async () => {
      const report = await log.audit(project);
      expect(report.problems).toEqual([]);
      expect(report).toMatchObject({ ok: true, lines: (await entriesOf(storage, project)).length });
    };
    const bytes = async () => Number((await query(storage, 'SELECT bytes FROM progress_logs'))[0]?.bytes);
    /** As a process leaves it that is killed after it has stored entries and before it has noted more. */
    const forget = (line: number, at: number) =>
      change(storage, 'UPDATE progress_logs SET written_line = ?, bytes = ?', line, at);

    it('is made anew when it was deleted', async () => {
      await write(log, project, 'a', 'b');
      const before = readFileSync(path, 'utf8');
      rmSync(path);
      expect(await problems()).toContain('The file is missing.');
      const { repairs } = await log.recover(project);
      expect(repairs).toEqual(['Made PROGRESS_LOG.md anew from line 1 on.']);
      expect(readFileSync(path, 'utf8')).toBe(before);
      await expectWhole();
    });

    it('is made anew with its folder by the next entry', async () => {
      await write(log, project, 'a');
      rmSync(dirname(path), { recursive: true });
      expect(await write(log, project, 'b')).toMatchObject({ log: { written: true } });
      expect(linesOf(project)).toHaveLength(3);
      await expectWhole();
    });

    it.each([
      ['replaced', (file: string) => writeFileSync(file, 'something else\n')],
      ['shortened', (file: string) => truncateSync(file, 300)],
      ['emptied', (file: string) => truncateSync(file, 0)],
      ['filled with what is as long', (file: string) => writeFileSync(file, `${'x'.repeat(499)}\n`)],
    ])('is set aside and made anew when it was %s', async (_, damage) => {
      await write(log, project, 'a', 'b');
      const before = readFileSync(path, 'utf8');
      damage(path);
      const left = readFileSync(path, 'utf8');
      expect(await problems()).not.toEqual([]);
      await write(log, project, 'c');
      expect(readFileSync(path, 'utf8').startsWith(before)).toBe(true);
      expect(linesOf(project)).toHaveLength(4);
      const aside = filesOf(project).filter((file) => file.includes('set-aside'));
      expect(aside).toEqual(['PROGRESS_LOG.set-aside-20260203T040506Z.md']);
      expect(readFileSync(join(dirname(path), aside[0] ?? ''), 'utf8')).toBe(left);
      await expectWhole();
    });

    it('keeps what was set aside before', async () => {
      for (const text of ['one\n', 'two\n', 'three\n']) {
        await write(log, project, 'a');
        writeFileSync(path, text);
      }
      await write(log, project, 'b');
      expect(filesOf(project)).toHaveLength(4);
    });

    it('gets the lines that its writer was killed before writing', async () => {
      await write(log, project, 'a');
      const at = await bytes();
      await write(log, project, 'b', 'c');
      const whole = readFileSync(path);
      const lengths = [
        at,
        at + 1,
        at + 40,
        whole.indexOf('\n', at),
        whole.indexOf('\n', at) + 1,
        whole.length - 1,
      ];
      for (const length of [...lengths, whole.length]) {
        await forget(1, at);
        truncateSync(path, length);
        await log.recover(project);
        expect(readFileSync(path).equals(whole)).toBe(true);
        await expectWhole();
      }
    });

    it('gets the header that its writer was killed before writing', async () => {
      await write(log, project, 'a', 'b');
      const whole = readFileSync(path);
      for (const length of [0, 1, 20, whole.indexOf('\n'), whole.indexOf('\n') + 1, 200]) {
        await forget(0, 0);
        truncateSync(path, length);
        await log.recover(project);
        expect(readFileSync(path).equals(whole)).toBe(true);
      }
      await expectWhole();
    });

    it('loses the zeros that a power cut may leave', async () => {
      await write(log, project, 'a');
      const at = await bytes();
      await write(log, project, 'b');
      const whole = readFileSync(path);
      for (const kept of [0, 30]) {
        await forget(1, at);
        truncateSync(path, at + kept);
        truncateSync(path, whole.length + 500);
        await log.recover(project);
        expect(readFileSync(path).equals(whole)).toBe(true);
      }
    });

    it('keeps a text of somebody else, on lines of its own', async () => {
      writeFileSync(join(project.root, 'x'), '');
      await write(log, project, 'a');
      appendFileSync(path, 'a note\nand one without an end');
      await write(log, project, 'b');
      await write(log, project, 'c');
      const [, a, note, other, ...rest] = linesOf(project);
      const entries = await entriesOf(storage, project);
      expect([a, ...rest]).toEqual(entries.map(formatLine));
      expect([note, other]).toEqual(['a note', 'and one without an end']);
      expect((await log.audit(project)).problems).toMatchObject([
        { file: path, line: 3, problem: expect.stringContaining('added') },
        { file: path, line: 4 },
      ]);
    });

    it('does not repeat lines that stand behind a text of somebody else', async () => {
      await write(log, project, 'a');
      const at = await bytes();
      appendFileSync(path, 'a note\n');
      await write(log, project, 'b', 'c');
      const whole = readFileSync(path);
      await forget(1, at);
      await log.recover(project);
      expect(readFileSync(path).equals(whole)).toBe(true);
    });

    it('keeps what was in it before there was a log', async () => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, 'notes of old');
      await write(log, project, 'a');
      const lines = linesOf(project);
      expect(lines[0]).toBe('notes of old');
      expect(lines[1]).toMatch(/^# Progress log of apollo/);
      expect(lines).toHaveLength(3);
    });

    it.each([
      ['a folder', (file: string) => mkdirSync(file, { recursive: true })],
      [
        'a link',
        (file: string) => {
          mkdirSync(dirname(file), { recursive: true });
          writeFileSync(`${file}.target`, '');
          symlinkSync(`${file}.target`, file);
        },
      ],
      ['below a file', (file: string) => writeFileSync(dirname(dirname(file)), '')],
    ])('is no reason to lose entries when it is %s', async (_, damage) => {
      damage(path);
      const result = await write(log, project, 'a');
      expect(result.log).toMatchObject({ written: false, error: { code: 'LOG_UNWRITABLE' } });
      expect(result.log.error?.message).toContain('safe in the database');
      await expect(log.recover(project)).rejects.toMatchObject({ code: 'LOG_UNWRITABLE' });
      rmSync(join(project.root, '.stomp'), { recursive: true });
      await write(log, project, 'b');
      expect(linesOf(project).slice(1)).toEqual((await entriesOf(storage, project)).map(formatLine));
      await expectWhole();
    });

    const fill = async (count: number, from = 0) => {
      for (let i = from; i < from + count; i++) await write(log, project, `entry ${i}`);
    };
    const archives = () => query(storage, 'SELECT * FROM progress_log_archives ORDER BY number');

    it('is closed when it is full, and the next one names it', async () => {
      await fill(40);
      const closed = await archives();
      expect(closed.length).toBeGreaterThan(1);
      expect(filesOf(project)).toEqual([
        ...closed.map((_, i) => `PROGRESS_LOG.000${i + 1}.md`),
        'PROGRESS_LOG.md',
      ]);
      const [first, second] = closed;
      expect(first).toMatchObject({ number: 1n, first_line: 1n });
      expect(Number(first?.bytes)).toBeGreaterThanOrEqual(2000);
      expect(Number(second?.first_line)).toBe(Number(first?.last_line) + 1);
      const header = readFileSync(String(second?.path), 'utf8').split('\n')[0];
      const head = (await entriesOf(storage, project))[Number(first?.last_line) - 1]?.sha256;
      expect(header).toBe(
        `# Progress log of apollo | file=2; first_line=${second?.first_line}; head=${head}; ` +
          `before=PROGRESS_LOG.0001.md; before_sha256=${first?.sha256}`,
      );
      await expectWhole();
    });

    it('is never closed over a file that is there', async () => {
      await fill(1);
      const other = join(dirname(path), 'PROGRESS_LOG.0001.md');
      writeFileSync(other, 'not ours');
      await fill(20);
      expect(readFileSync(other, 'utf8')).toBe('not ours');
      expect(String((await archives())[0]?.path)).toBe(join(dirname(path), 'PROGRESS_LOG.0002.md'));
      await expectWhole();
    });

    it('is found when it was renamed and that was not noted', async () => {
      await fill(10);
      expect(await archives()).toHaveLength(0);
      renameSync(path, join(dirname(path), 'PROGRESS_LOG.0001.md'));
      expect((await log.recover(project)).repairs).toContain('Noted that PROGRESS_LOG.0001.md is closed.');
      await fill(1, 10);
      expect(await archives()).toMatchObject([{ number: 1n, first_line: 1n, last_line: 10n }]);
      expect(linesOf(project)).toHaveLength(2);
      await expectWhole();
    });

    it('is found when it was renamed with lines that were not noted', async () => {
      await fill(8);
      const at = await bytes();
      await fill(2, 8);
      await forget(8, at);
      renameSync(path, join(dirname(path), 'PROGRESS_LOG.0001.md'));
      await fill(1, 10);
      expect(await archives()).toMatchObject([{ first_line: 1n, last_line: 10n }]);
      expect(linesOf(project)).toHaveLength(2);
      await expectWhole();
    });

    it('does not take a copy for a closed file', async () => {
      await fill(3);
      copyFileSync(path, join(dirname(path), 'PROGRESS_LOG.0001.md'));
      await fill(3, 3);
      expect(await archives()).toEqual([]);
      expect(linesOf(project)).toHaveLength(7);
      await expectWhole();
    });

    it('may be audited while others write and close it', async () => {
      const other = await rig.open({ rotateBytes: 2000 });
      const writing = Promise.all([
        fill(30),
        ...Array.from({ length: 30 }, (_, i) => write(other, project, `${i}`)),
      ]);
      let done = false;
      const ended = writing.finally(() => {
        done = true;
      });
      while (!done) await expectSound();
      await ended;
      await expectWhole();
    });

    const expectSound = async () => expect((await log.audit(project)).problems).toEqual([]);

    it('gets many lines at once that it was not writable for', async () => {
      mkdirSync(path, { recursive: true });
      const items = Array.from({ length: 700 }, (_, i) => `entry ${i}`);
      expect(await write(log, project, ...items)).toMatchObject({ log: { written: false } });
      rmSync(path, { recursive: true });
      await log.recover(project);
      const report = await log.audit(project);
      expect(report).toMatchObject({ ok: true, lines: 700 });
      expect(report.files.length).toBeGreaterThan(1);
      expect(existsSync(path)).toBe(true);
    });
  });
}
