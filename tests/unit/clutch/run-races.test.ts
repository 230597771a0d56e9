/** Runs where two things come at once, or one comes twice. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TestClutch } from './open-test-clutch.js';
import { turns } from './scripted-model.js';

const script = (text: string) => ({ name: 'run_script', args: { script: text } });

describe('a close that leaves time', () => {
  it('leaves a gate, and what waits at it, as they are', async () => {
    const test = await TestClutch.open(turns({ calls: [script('touch made')] }), { graceMs: 5000 });
    const { id } = await test.start('Go');
    const before = await test.gate();
    await expect.poll(async () => (await test.clutch.run(id)).status).toBe('awaiting_approval');
    await test.clutch.close();
    await test.reopen();
    expect(await test.gate()).toEqual(before);
    await test.approve();
    expect((await test.clutch.ended(id)).status).toBe('done');
    expect(existsSync(test.path('made'))).toBe(true);
  });
});

describe('a call that a person wants done again', () => {
  it('is not done a third time when the process ends once more', async () => {
    const test = await TestClutch.open(turns({ calls: [script('echo began >> began; sleep 60')] }));
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
