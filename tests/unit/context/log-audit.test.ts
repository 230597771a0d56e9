/** What an audit of a progress log finds, and what the doctor makes of it. */
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { progressLogCheck } from '../../../ts/context/log-repair.js';
import type { ProgressLog } from '../../../ts/context/progress-log.js';
import type { Project } from '../../../ts/context/types.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { change, entriesOf, filesOf, Rig, startMs, write } from './progress-log.rig.js';

let rig: Rig;
let log: ProgressLog;
let project: Project;
let path: string;
let archive: string;
let storage: Storage;
const read = (file: string) => readFileSync(file, 'utf8');
const swap = (lines: string[], i: number, j: number) => {
  const copy = [...lines];
  [copy[i], copy[j]] = [lines[j] ?? '', lines[i] ?? ''];
  return copy;
};
const edit = (file: string, change: (lines: string[]) => string[]) =>
  writeFileSync(file, change(read(file).split('\n')).join('\n'));

/** Entries 1 to 14 in a closed file, 15 to 18 in the current one. */
beforeEach(async () => {
  rig = new Rig(await sqliteDatabase());
  log = await rig.open({ rotateBytes: 2000 });
  project = rig.project();
  path = project.progress_log_path;
  archive = join(dirname(path), 'PROGRESS_LOG.0001.md');
  storage = await rig.storage();
  for (let i = 1; i <= 18; i++) await write(log, project, { message: `entry ${i}`, id: `id-${i}` });
});
afterEach(() => rig.close());

const audit = async () => {
  const { problems } = await log.audit(project);
  return problems.map(({ file, line, problem }) => `${file && basename(file)}:${line} ${problem}`);
};
const firstOf = () =>
  read(path)
    .split('\n')[1]
    ?.match(/entry (\d+)/)?.[1];

describe('an audit', () => {
  it('finds nothing where nothing was changed', async () => {
    const entries = await entriesOf(storage, project);
    const report = await log.audit(project);
    expect(report).toMatchObject({
      project: 'apollo',
      ok: true,
      lines: 18,
      head: entries.at(-1)?.sha256,
      problems: [],
      files: [
        { path: archive, closed: true, whole: true, bytes: Buffer.byteLength(read(archive)) },
        { path, closed: false, whole: true },
      ],
    });
    expect(report.files.reduce((sum, { lines }) => sum + lines, 0)).toBe(18);
  });

  it('has nothing to say of a project without entries', async () => {
    const report = await log.audit(rig.project('empty'));
    expect(report).toEqual({ project: 'empty', ok: true, files: [], lines: 0, head: '', problems: [] });
  });

  it.each<[string, (lines: string[]) => string[], string[]]>([
    [
      'changed',
      (lines) => lines.map((line) => line.replace('entry 3 ', 'Entry 3 ')),
      ['PROGRESS_LOG.0001.md:4 Entry 3 was changed: it differs from its row.'],
    ],
    [
      'changed into what is none',
      (lines) => lines.map((line) => line.replace('entry 3 |', 'entry 3')),
      [
        'PROGRESS_LOG.0001.md:4 This is no entry: it was added, changed or torn.',
        'PROGRESS_LOG.0001.md:5 Entry 3 is missing before this line.',
      ],
    ],
    [
      'removed',
      (lines) => lines.filter((line) => !/entry [34] /.test(line)),
      ['PROGRESS_LOG.0001.md:4 Entries 3 to 4 are missing before this line.'],
    ],
    [
      'added',
      (lines) => lines.toSpliced(3, 0, 'hello'),
      ['PROGRESS_LOG.0001.md:4 This is no entry: it was added, changed or torn.'],
    ],
    [
      'there twice',
      (lines) => lines.toSpliced(4, 0, lines[3] ?? ''),
      [
        'PROGRESS_LOG.0001.md:5 Entry 3 does not belong here: it is out of place, there twice, or without a row.',
      ],
    ],
    [
      'swapped with the next',
      (lines) => swap(lines, 3, 4),
      [
        'PROGRESS_LOG.0001.md:4 Entry 3 is missing before this line.',
        'PROGRESS_LOG.0001.md:5 Entry 3 does not belong here: it is out of place, there twice, or without a row.',
      ],
    ],
    [
      'that begins the file, changed',
      (lines) => lines.map((line) => line.replace('head=', 'head=0')),
      [
        'PROGRESS_LOG.0001.md:1 This is no entry: it was added, changed or torn.',
        'PROGRESS_LOG.0001.md:1 The header is missing or was changed.',
      ],
    ],
  ])('finds a line of a closed file that is %s', async (_, change, expected) => {
    edit(archive, change);
    const [changed, ...found] = await audit();
    expect(changed).toMatch(/^PROGRESS_LOG.0001.md:null The closed file was changed: its SHA-256 is/);
    expect(found).toEqual(expected);
  });

  it('finds a changed line of the current file, and its last one gone', async () => {
    const first = Number(firstOf());
    edit(path, (lines) =>
      lines.map((line) => line.replace(`entry ${first} `, 'something ')).toSpliced(-2, 1),
    );
    expect(await audit()).toEqual([
      `PROGRESS_LOG.md:2 Entry ${first} was changed: it differs from its row.`,
      'PROGRESS_LOG.md:null Entry 18 is missing at the end.',
      expect.stringContaining('The database knows the file up to line 18'),
    ]);
  });

  it('finds half a line', async () => {
    truncateSync(path, read(path).length - 5);
    expect((await audit())[0]).toContain('The line is half-written: it has no end.');
  });

  it('finds a closed file that is gone', async () => {
    rmSync(archive);
    expect(await audit()).toEqual([
      expect.stringMatching(
        /^PROGRESS_LOG.0001.md:null The file is missing. It is closed, with the entries 1 to/,
      ),
    ]);
  });

  it.each([
    ['message', "UPDATE entries SET message = 'other' WHERE line = 3"],
    ['meta', `UPDATE entries SET meta = '{"a":1}' WHERE line = 3`],
    ['author', "UPDATE entries SET agent = 'bob' WHERE line = 3"],
    ['time', 'UPDATE entries SET ts = ts + 1 WHERE line = 3'],
  ])('finds a row whose %s was changed', async (_, sql) => {
    await change(storage, sql);
    expect(await audit()).toEqual(['null:3 The row was changed: its hash is that of the line in the file.']);
  });

  it('finds a row and its line that were changed alike', async () => {
    await change(storage, "UPDATE entries SET message = 'Entry 16' WHERE line = 16");
    edit(path, (lines) => lines.map((line) => line.replace('entry 16', 'Entry 16')));
    expect(await audit()).toEqual(['null:16 The row, or its hash, was changed.']);
  });

  it('finds a row whose hash was changed, by the next one too', async () => {
    await change(storage, "UPDATE entries SET sha256 = 'x' WHERE line = 3");
    expect(await audit()).toEqual([
      'null:3 The row, or its hash, was changed.',
      'null:4 The row, or its hash, was changed.',
    ]);
  });

  it('finds a row that was removed', async () => {
    await change(storage, 'DELETE FROM entries WHERE line = 3');
    const found = await audit();
    expect(found).toContain('null:3 The row is missing.');
  });

  it('finds a head that is another', async () => {
    await change(storage, "UPDATE metrics SET head = 'x'");
    expect(await audit()).toEqual(['null:18 The last row has another hash than the project.']);
  });
});

describe('the doctor', () => {
  const run = (repair: boolean) => progressLogCheck(log, async () => [project]).run(repair);

  it('finds nothing where all is well', async () => {
    expect(await run(true)).toEqual([]);
  });

  it('only says what is wrong unless it is to mend it', async () => {
    truncateSync(path, read(path).length - 5);
    const left = read(path);
    const findings = await run(false);
    expect(findings[0]).toEqual({
      check: 'progress-log',
      subject: expect.stringMatching(/^apollo: .*PROGRESS_LOG.md, line \d+$/),
      problem: 'The line is half-written: it has no end.',
      repair: null,
    });
    expect(read(path)).toBe(left);
  });

  it.each<[string, () => void]>([
    ['a half-written line', () => truncateSync(path, read(path).length - 5)],
    ['missing lines', () => edit(path, (lines) => lines.toSpliced(2, 1))],
    ['a changed line', () => edit(path, (lines) => lines.map((line) => line.replace('entry 16', 'x')))],
    ['a missing file', () => rmSync(path)],
    ['a missing closed file', () => rmSync(archive)],
    ['a changed closed file', () => edit(archive, (lines) => lines.toSpliced(2, 1))],
  ])('mends %s, and says what it did', async (_, damage) => {
    const whole = [read(archive), read(path)];
    damage();
    const findings = await run(true);
    expect(findings.length).toBeGreaterThan(0);
    for (const { repair } of findings) expect(repair).toMatch(/PROGRESS_LOG/);
    expect([read(archive), read(path)]).toEqual(whole);
    expect(await run(true)).toEqual([]);
  });

  it('mends numbers that do not fit the file', async () => {
    const whole = read(path);
    await change(storage, 'UPDATE progress_logs SET bytes = bytes - 7');
    for (const { repair } of await run(true)) expect(repair).not.toBeNull();
    expect(read(path)).toBe(whole);
    expect((await log.audit(project)).ok).toBe(true);
  });

  it('leaves what somebody has added, and says so', async () => {
    appendFileSync(path, 'a note\n');
    expect(await run(true)).toMatchObject([{ repair: null, problem: expect.stringContaining('added') }]);
    expect(filesOf(project)).toHaveLength(2);
  });

  it('makes nothing from rows that were changed', async () => {
    await change(storage, "UPDATE entries SET message = 'other' WHERE line = 16");
    edit(path, (lines) => lines.toSpliced(2, 1));
    const left = read(path);
    const findings = await run(true);
    expect(findings.map(({ repair }) => repair)).toEqual(findings.map(() => null));
    expect(findings.at(-1)?.problem).toContain('nothing is made from it');
    expect(read(path)).toBe(left);
  });

  it('says why it cannot mend', async () => {
    await change(storage, 'UPDATE progress_logs SET written_line = 99');
    const findings = await run(true);
    expect(findings.at(-1)).toMatchObject({
      repair: null,
      problem: expect.stringContaining('row of line 99'),
    });
    // Entries are stored all the same.
    expect(await write(log, project, { message: 'still', timestamp: startMs })).toMatchObject({
      entries: [{ line: 19 }],
      log: { written: false, error: { code: 'LOG_CORRUPT' } },
    });
  });
});
