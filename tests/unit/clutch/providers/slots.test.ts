/** Slots: so many at a time, in the order of asking, and nobody waits who has gone. */
import { describe, expect, it } from 'vitest';
import { Slots } from '../../../../ts/clutch/providers/slots.js';

const { signal } = new AbortController();

describe('slots', () => {
  it('are handed on first come, first served', async () => {
    const slots = new Slots(2);
    const held = [await slots.take(signal), await slots.take(signal)];
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (number) => {
      const release = await slots.take(signal);
      order.push(number);
      release();
    });
    expect(order).toEqual([]);
    held[0]?.();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });

  it('are given back once, however often that is said', async () => {
    const slots = new Slots(1);
    const release = await slots.take(signal);
    release();
    release();
    await slots.take(signal);
    let isTaken = false;
    void slots.take(signal).then(() => (isTaken = true));
    await new Promise(setImmediate);
    expect(isTaken).toBe(false);
  });

  it('are not for those who have stopped waiting', async () => {
    const slots = new Slots(1);
    const release = await slots.take(signal);
    const leaving = new AbortController();
    const left = slots.take(leaving.signal);
    const next = slots.take(signal);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: 'CANCELLED' });
    release();
    (await next)();
    await slots.idle();
  });
});
