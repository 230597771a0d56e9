/** Runs that begin others: tracks of tickets, and calls of `spawn_run`. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Ticket } from '../../../ts/clutch/runs/run.js';
import { TestClutch } from './open-test-clutch.js';
import { type ChatMessage, roundOf, runScript, turns } from './scripted-model.js';

const ticket = (id: string, dependsOn: string[] = []): Ticket => ({
  id,
  role: 'worker',
  prompt: `Do ${id}.`,
  dependsOn,
});

function saidTo(asked: readonly ChatMessage[]): string {
  return asked.map(({ content }) => content ?? '').join('\n');
}

/** Every ticket is answered with its own name. */
const obliging = (asked: readonly ChatMessage[]) => {
  const [, id] = /Do (\w+)\./.exec(saidTo(asked.filter(({ role }) => role === 'user'))) ?? [];
  return { text: `${id} is done.` };
};

describe('a track', () => {
  it('works on tickets in their order, each with the results that it waits for and nothing else', async () => {
    const test = await TestClutch.open(obliging);
    const tickets = [ticket('ship', ['build', 'check']), ticket('build'), ticket('check', ['build'])];
    const { id } = await test.clutch.start({ tickets, gate: 'none' });
    const track = await test.clutch.ended(id);
    expect(track).toMatchObject({
      status: 'done',
      state: { output: 'ship: done\nbuild: done\ncheck: done' },
    });
    const children = await test.clutch.runs({ parentId: id });
    expect(children.map(({ ticketId }) => ticketId)).toEqual(['ship', 'check', 'build']);
    expect(children.every(({ trackId }) => trackId === id)).toBe(true);
    const [build = [], check = [], ship = []] = test.model.asked;
    expect(saidTo(build)).not.toContain('is done.');
    expect(saidTo(check)).toContain('build is done.');
    expect(saidTo(check)).not.toContain('Do build.');
    expect(saidTo(ship)).toContain('check is done.');
  });

  it('shows each ticket at a gate before its run begins, and takes it as it was edited', async () => {
    const test = await TestClutch.open(obliging);
    const { id } = await test.clutch.start({ tickets: [ticket('build')] });
    const gate = await test.gate();
    expect(gate).toMatchObject({
      kind: 'spawn',
      ticketId: 'build',
      payload: { ticket_id: 'build', role: 'worker', prompt: 'Do build.', context_md: '' },
    });
    expect(test.model.asked).toEqual([]);
    await test.approve({ prompt: 'Do other.', context_md: 'Mind the gap.' });
    await test.clutch.ended(id);
    expect(saidTo(test.model.asked[0] ?? [])).toContain('Mind the gap.');
    expect(saidTo(test.model.asked[0] ?? [])).toContain('Do other.');
  });

  it('does not begin what depends on a ticket that was rejected', async () => {
    const test = await TestClutch.open(obliging);
    const { id } = await test.clutch.start({ tickets: [ticket('build'), ticket('check', ['build'])] });
    await test.reject('Not today');
    const track = await test.clutch.ended(id);
    expect(track).toMatchObject({ status: 'error', error: { code: 'TRACK_INCOMPLETE' } });
    expect(track.state.output).toBe('build: rejected\ncheck: blocked');
    expect(test.model.asked).toEqual([]);
  });

  it('ends with all its runs and gates when it is aborted', async () => {
    const call = runScript('touch made');
    const test = await TestClutch.open(turns({ calls: [call] }));
    const { id } = await test.clutch.start({ tickets: [ticket('build'), ticket('check')] });
    await test.approve();
    await test.approve();
    await expect.poll(async () => (await test.clutch.gates.list({ status: 'pending' })).length).toBe(2);
    const [gate] = await test.clutch.gates.list({ status: 'pending' });
    expect(gate).toMatchObject({ kind: 'confirm', ticketId: expect.stringMatching(/build|check/) });
    await test.clutch.abort(id, 'eve');
    const children = await test.clutch.runs({ parentId: id });
    const ended = await Promise.all(children.map((child) => test.clutch.ended(child.id)));
    expect(ended.map(({ status }) => status)).toEqual(['aborted', 'aborted']);
    expect(await test.clutch.gates.list({ status: 'pending' })).toEqual([]);
    expect(existsSync(test.path('made'))).toBe(false);
  });

  it.each([
    ['a circle', [ticket('a', ['b']), ticket('b', ['c']), ticket('c', ['b'])], /b -> c -> b/],
    ['itself', [ticket('a', ['a'])], /a -> a/],
    ['what there is not', [ticket('a', ['z'])], /another ticket/],
    ['an id twice', [ticket('a'), ticket('a')], /given once/],
  ])('refuses tickets that wait for %s', async (_what, tickets, message) => {
    const test = await TestClutch.open(obliging);
    const refused = test.clutch.start({ tickets });
    await expect(refused).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringMatching(message),
    });
  });
});

describe('a run that begins another', () => {
  const spawn = {
    name: 'spawn_run',
    args: { role: 'tester', prompt: 'Do tests.', context_md: 'Use vitest.' },
  };
  const script = (asked: readonly ChatMessage[]) => {
    const isChild = saidTo(asked).includes('You are a tester');
    if (isChild) return { text: 'All pass.' };
    return roundOf(asked) === 0 ? { text: 'I ask a tester.', calls: [spawn] } : { text: 'Good.' };
  };

  it('waits at a gate, then for its words; the other knows nothing of the conversation', async () => {
    const test = await TestClutch.open(script);
    const { id } = await test.start('A long story.');
    expect(await test.gate()).toMatchObject({
      kind: 'spawn',
      payload: { role: 'tester', prompt: 'Do tests.' },
    });
    await test.approve();
    expect((await test.clutch.ended(id)).state.output).toBe('Good.');
    expect(test.lastResults[0]).toContain('All pass.');
    const child = test.model.asked.find((asked) => saidTo(asked).includes('You are a tester')) ?? [];
    expect(saidTo(child)).toContain('Use vitest.');
    expect(saidTo(child)).not.toContain('A long story.');
  });

  it('does so three deep at most', async () => {
    const test = await TestClutch.open((asked) =>
      roundOf(asked) === 0 ? { calls: [spawn] } : { text: asked.at(-1)?.content ?? '' },
    );
    const { id } = await test.start('Go', { gate: 'none' });
    const run = await test.clutch.ended(id);
    expect(run.state.output).toContain('3 deep at most');
    expect(await test.clutch.runs()).toHaveLength(4);
  });
});
