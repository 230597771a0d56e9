/** Runs where two things come at once, or one comes twice. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { RunAudit } from '../../../ts/clutch/audit/run-audit.js';
import { StompError } from '../../../ts/errors.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { rows } from '../../../ts/storage/storage.js';
import { WrappedStorage } from '../guard/wrapped-storage.js';
import { TestClutch } from './open-test-clutch.js';
import { roundOf, runScript, type Script, turns } from './scripted-model.js';

/** Holds the n-th transaction that writes from now on. */
function holdBefore(storage: WrappedStorage, n: number): { reached: Promise<void>; release: () => void } {
  let left = n;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    storage.beforeWrite = async () => {
      if (--left !== 0) return;
      resolve();
      await released;
    };
  });
  return { reached, release };
}

async function heldClutch(script: Script = turns()): Promise<{ storage: WrappedStorage; test: TestClutch }> {
  let storage!: WrappedStorage;
  const test = await TestClutch.open(script, {}, (folder) => {
    storage = new WrappedStorage(new SqliteStorage({ path: join(folder, 'clutch.db') }));
    return storage;
  });
  return { storage, test };
}

describe('a close while a run is being started', () => {
  it('leaves the run to whoever opens the clutch next', async () => {
    const { storage, test } = await heldClutch();
    const taken = holdBefore(storage, 2);
    const started = test.start('Go');
    await taken.reached;
    const closed = test.clutch.close();
    taken.release();
    const { id } = await started;
    await closed;
    const [row] = await storage.read(() => rows('SELECT owner_until FROM clutch_runs WHERE id = ?', id));
    expect(row).toEqual({ owner_until: 0n });
    expect(test.model.asked).toEqual([]);
    await test.reopen();
    expect((await test.clutch.ended(id)).status).toBe('done');
  });
});

describe('a run that ends', () => {
  const spawn = { name: 'spawn_run', args: { prompt: 'Help' } };
  const parentAndChild: Script = (asked) => {
    const isParent = JSON.stringify(asked).includes('Go');
    return roundOf(asked) > 0 ? { text: 'Done.' } : { calls: [isParent ? spawn : runScript('touch made')] };
  };

  it('leaves no child behind, though the process ended before it could be told', async () => {
    const { storage, test } = await heldClutch(parentAndChild);
    const { id } = await test.start('Go');
    await test.approve();
    await expect.poll(() => test.clutch.runs({ parentId: id })).toHaveLength(1);
    const [child] = await test.clutch.runs({ parentId: id });
    await test.gate(child?.id);
    await test.clutch.close();
    await storage.write(() =>
      rows("UPDATE clutch_runs SET status = 'aborted', ended_at = 1 WHERE id = ?", id),
    );
    await test.reopen();
    expect((await test.clutch.ended(`${child?.id}`, AbortSignal.timeout(5000))).status).toBe('aborted');
    expect(await test.clutch.gates.list({ status: 'pending' })).toEqual([]);
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it('by an abort takes its children with it, also where the abort cannot be audited', async () => {
    const { test } = await heldClutch(parentAndChild);
    const { id, sessionId } = await test.start('Go');
    await test.approve();
    await expect.poll(() => test.clutch.runs({ parentId: id })).toHaveLength(1);
    const [child] = await test.clutch.runs({ parentId: id });
    await test.gate(child?.id);
    const fault = new StompError('LOG_UNWRITABLE', 'The disk is full.');
    const comms = vi.spyOn(RunAudit.prototype, 'comms').mockImplementation(() => {
      throw fault;
    });
    await expect(test.clutch.abort(id, 'eve')).rejects.toBe(fault);
    comms.mockRestore();
    expect(sessionId).toBe(id);
    expect((await test.clutch.run(`${child?.id}`)).status).toBe('aborted');
    expect(await test.clutch.gates.list({ status: 'pending' })).toEqual([]);
  });

  it('with an error leaves no gate for anybody to decide', async () => {
    const tickets = ['a', 'b'].map((name) => ({ id: name, role: 'worker', prompt: 'Help', dependsOn: [] }));
    const { test } = await heldClutch();
    const sync = vi.spyOn(RunAudit.prototype, 'sync');
    sync.mockImplementationOnce(async function (this: RunAudit) {
      sync.mockRestore();
      throw new StompError('LOG_UNWRITABLE', 'The disk is full.');
    });
    const { id } = await test.start('', { tickets });
    expect(await test.clutch.ended(id)).toMatchObject({ status: 'error', error: { code: 'LOG_UNWRITABLE' } });
    await expect
      .poll(async () => (await test.clutch.gates.list({ runId: id })).map(({ status }) => status))
      .toEqual(['aborted', 'aborted']);
  });
});

describe('a call that a person wants done again', () => {
  it('is not done a third time when the process ends once more', async () => {
    const test = await TestClutch.open(turns({ calls: [runScript('echo began >> began; sleep 60')] }));
    const { id } = await test.start('Go', { gate: 'none' });
    await expect.poll(() => existsSync(test.path('began'))).toBe(true);
    await test.clutch.close();
    await test.reopen();
    await test.approve({ answer: 'do it again' });
    await expect.poll(() => test.read('began')).toBe('began\nbegan\n');
    await test.clutch.close();
    await test.reopen();
    await test.approve({ answer: 'it was done' });
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(test.read('began')).toBe('began\nbegan\n');
  });
});

describe('files that a run is given', () => {
  it('lie in a root of the guard', async () => {
    const test = await TestClutch.open(turns());
    mkdirSync(join(test.folder, 'other'));
    const outside = join(test.folder, 'other', 'private.md');
    writeFileSync(outside, 'private');
    await expect(test.start('Tell', { fileItems: [outside] })).rejects.toMatchObject({ code: 'PATH_DENIED' });
  });

  it('are looked for in its base directory', async () => {
    const test = await TestClutch.open(turns());
    test.write('notes.md', 'what the notes say');
    const { id } = await test.start('Tell', { fileItems: ['notes.md'] });
    await test.clutch.ended(id);
    expect(JSON.stringify(test.model.asked[0])).toContain('what the notes say');
  });
});

describe('a run and a ticket whose names come close to each other', () => {
  it('are two runs', async () => {
    const tickets = ['1', '1.2.0'].map((id, at) => ({
      id,
      role: 'worker',
      prompt: `Ticket ${id}`,
      dependsOn: at === 0 ? [] : ['1'],
    }));
    const test = await TestClutch.open((asked) => {
      const text = JSON.stringify(asked);
      const isFirst = text.includes('"Ticket 1"') && roundOf(asked) === 0;
      return isFirst ? { calls: [{ name: 'spawn_run', args: { prompt: 'Help' } }] } : { text: 'Done.' };
    });
    const { id } = await test.start('', { tickets, gate: 'none' });
    expect((await test.clutch.ended(id)).status).toBe('done');
    const prompts = test.model.asked.map((asked) => asked.findLast(({ role }) => role === 'user')?.content);
    expect([...new Set(prompts)].sort()).toEqual(['Help', 'Ticket 1', 'Ticket 1.2.0']);
  });
});

describe('calls that are shown together', () => {
  it('are not made once the outputs of the run are used up, though they were let through', async () => {
    const read = { name: 'read_file', args: { path: 'long.txt' } };
    const test = await TestClutch.open(
      turns({ calls: [...Array.from({ length: 63 }, () => read), runScript('touch made')] }),
    );
    test.write('long.txt', 'x'.repeat(8000));
    const { id } = await test.start('Go', { gate: 'step' });
    await test.approve();
    await test.clutch.ended(id);
    expect(test.lastResults.at(-1)).toContain('Refused');
    expect(existsSync(test.path('made'))).toBe(false);
  });
});

describe('a database that can be read and not written', () => {
  it('is not asked to deny a gate over and over', async () => {
    const { storage, test } = await heldClutch(turns({ calls: [runScript('touch made')] }));
    let tries = 0;
    await test.start('Go', { gateTimeoutMs: 300 });
    const { id } = await test.gate();
    await expect.poll(async () => (await test.clutch.runs())[0]?.status).toBe('awaiting_approval');
    storage.beforeWrite = async () => {
      tries++;
      throw new StompError('DB_BUSY', 'The disk is full.');
    };
    await expect.poll(() => tries).toBeGreaterThan(1);
    expect(tries).toBeLessThan(4);
    const began = performance.now();
    await expect.poll(() => tries, { timeout: 5000 }).toBeGreaterThan(3);
    expect(performance.now() - began).toBeGreaterThan(500);
    storage.beforeWrite = async () => undefined;
    await expect
      .poll(async () => (await test.clutch.gates.get(id)).status, { timeout: 5000 })
      .toBe('expired');
  });
});
