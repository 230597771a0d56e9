import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { loopTurn } from '../../ts/loop-turn.js';

describe('work that arrives together', () => {
  it('is done one piece in each turn of the event loop, in order', async () => {
    const begun: number[] = [];
    for (let i = 0; i < 5; i++) void loopTurn().then(() => begun.push(i));
    const counts: number[] = [];
    for (let i = 0; i < 5; i++) {
      await turnOfTheLoop();
      counts.push(begun.length);
    }
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    expect(counts.every((count, i) => count - (counts[i - 1] ?? 1) <= 1)).toBe(true);
  });

  it('does not wait when it comes alone', async () => {
    for (let i = 0; i < 3; i++) {
      let isBegun = false;
      void loopTurn().then(() => {
        isBegun = true;
      });
      await Promise.resolve();
      expect(isBegun).toBe(true);
      await turnOfTheLoop();
      await turnOfTheLoop();
    }
  });
});
