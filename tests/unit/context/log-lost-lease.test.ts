/** A lease that is lost while it is written under it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProgressLog } from '../../../ts/context/progress-log.js';
import type { Project } from '../../../ts/context/types.js';
import { FencedError } from '../../../ts/guard/errors.js';
import { sqliteDatabase } from '../../servers/databases.js';
import { WrappedStorage } from '../guard/wrapped-storage.js';
import { entriesOf, linesOf, Rig, write } from './progress-log.rig.js';

let rig: Rig;
let storage: WrappedStorage;
let log: ProgressLog;
let project: Project;
beforeEach(async () => {
  rig = new Rig(await sqliteDatabase());
  storage = new WrappedStorage(await rig.storage());
  log = await rig.open({}, storage);
  project = rig.project();
});
afterEach(() => rig.close());

/** Refuses the first statements that look like this. */
function fence(pattern: RegExp, times: number): void {
  let left = times;
  storage.beforeStatement = ({ sql }) => {
    if (pattern.test(sql) && left-- > 0) throw new FencedError('somebody else is at it');
  };
}

describe('a lease that is lost', () => {
  it('before anything is stored is taken anew', async () => {
    fence(/^UPDATE metrics SET entries = entries/, 2);
    const both = await Promise.all([write(log, project, 'a'), write(log, project, 'b')]);
    expect(both).toMatchObject([{ entries: [{ line: 1 }] }, { entries: [{ line: 2 }] }]);
    expect(linesOf(project)).toHaveLength(3);
  });

  it('each time is told, and nothing is stored', async () => {
    fence(/^UPDATE metrics SET entries = entries/, 100);
    await expect(write(log, project, 'a')).rejects.toMatchObject({ code: 'FENCED' });
    expect(await entriesOf(storage, project)).toEqual([]);
  });

  it('when it is stored is taken anew to write the line', async () => {
    fence(/^INSERT INTO progress_logs/, 1);
    const { log: file } = await write(log, project, 'a');
    expect(file.written).toBe(true);
    expect(linesOf(project)).toHaveLength(2);
    expect((await log.audit(project)).problems).toEqual([]);
  });

  it('when it is stored, each time, leaves the line to whoever is at it', async () => {
    fence(/^INSERT INTO progress_logs/, 100);
    const { entries, log: file } = await write(log, project, 'a');
    expect(file).toMatchObject({ written: false, error: { code: 'FENCED' } });
    expect(await entriesOf(storage, project)).toEqual(entries);
    storage.beforeStatement = () => undefined;
    await write(log, project, 'b');
    expect(linesOf(project)).toHaveLength(3);
    expect((await log.audit(project)).problems).toEqual([]);
  });
});

describe('arguments', () => {
  it.each([
    ['an agent without a name', { agentId: '', sessionId: null }],
    ['an agent with half a character', { agentId: '\ud800', sessionId: null }],
    ['a session that is no text', { agentId: 'ann', sessionId: 5 }],
    ['a signal that is none', { agentId: 'ann', sessionId: null, signal: {} }],
    ['a check that is no function', { agentId: 'ann', sessionId: null, within: 1 }],
  ])('are refused: %s', async (_, who) => {
    const { newEntries } = await import('../../../ts/context/new-entry.js');
    await expect(log.append(project, newEntries(['a'], 0), who as never)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  });

  it.each([{ rotateBytes: 1 }, { leaseTtlMs: 0 }, { maxWaitMs: -1 }, { now: 5 as never }])(
    'are refused: %j',
    async (options) => {
      await expect(rig.open(options)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    },
  );
});
