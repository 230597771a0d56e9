import { expect, it } from 'vitest';
import type { Stored } from '../../../ts/context/log-batch.js';
import { LogQueue } from '../../../ts/context/log-queue.js';

const nothing: Stored = { entries: [], duplicates: [] };
const log = { path: '/log', written: true };

it('a call that comes the moment the last one is answered is not forgotten', async () => {
  const queue = new LogQueue(async ({ take }) => {
    for (const call of take()) call.resolve({ ...nothing, log });
  });
  const add = () => queue.add({ items: [], who: { agentId: 'A', sessionId: null } });
  // The answer and the end of the turn are a few steps apart: one of them is the wrong moment.
  for (let steps = 0; steps < 10; steps++) {
    await add();
    for (let step = 0; step < steps; step++) await Promise.resolve();
    expect(await add()).toMatchObject({ log });
  }
});
