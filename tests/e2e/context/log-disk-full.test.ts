/** A disk that is really full: a file system of 1 MB, which only root may mount. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatLine } from '../../../ts/context/line.js';
import type { Project } from '../../../ts/context/types.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { entriesOf, Rig, write } from '../../unit/context/progress-log.rig.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

describe.runIf(canMount)('when the disk of a log is full', () => {
  let rig: Rig;
  let disk: string;
  let project: Project;
  beforeEach(async () => {
    rig = new Rig(await sqliteDatabase());
    disk = join(rig.folder, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
    project = { ...rig.project(), root: disk, progress_log_path: join(disk, 'PROGRESS_LOG.md') };
  });
  afterEach(async () => {
    execFileSync('umount', [disk]);
    await rig.close();
  });

  it('entries are stored, and come into the file when there is room, none torn', async () => {
    const log = await rig.open();
    await write(log, project, 'before');
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(900_000));
    // More than one page, so that a part of it is written.
    const items = Array.from({ length: 10 }, (_, i) => `${i} ${'x'.repeat(30_000)}`);
    const { entries, log: file } = await write(log, project, ...items);
    expect(entries).toHaveLength(10);
    expect(file).toMatchObject({ written: false, error: { code: 'LOG_UNWRITABLE' } });
    expect(file.error?.message).toContain('ENOSPC');
    expect((await log.audit(project)).ok).toBe(false);
    rmSync(filler);
    await write(log, project, 'after');
    const lines = readFileSync(project.progress_log_path, 'utf8').slice(0, -1).split('\n').slice(1);
    expect(lines).toEqual((await entriesOf(await rig.storage(), project)).map(formatLine));
    expect((await log.audit(project)).problems).toEqual([]);
  });
});
