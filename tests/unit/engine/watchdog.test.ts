import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Watchdog } from '../../../ts/engine/watchdog.js';
import type { StompError } from '../../../ts/errors.js';

describe('a watchdog', () => {
  let silent = 0;
  let warnings: StompError[] = [];
  const engine = { silentMs: () => silent };
  const watch = (limitMs: number) =>
    new Watchdog({ engine, limitMs, onWarning: (warning) => warnings.push(warning) });

  beforeEach(() => {
    vi.useFakeTimers();
    silent = 0;
    warnings = [];
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('tells of each stall once, and of the next one again', () => {
    const dog = watch(1000);
    vi.advanceTimersByTime(5000);
    expect(dog.stalledMs).toBe(0);
    silent = 3000;
    vi.advanceTimersByTime(5000);
    expect(dog.stalledMs).toBe(3000);
    expect(warnings.map(({ code, fields }) => [code, fields])).toEqual([
      ['ENGINE_STALLED', { stalledMs: 3000 }],
    ]);
    silent = 10;
    vi.advanceTimersByTime(1000);
    silent = 2000;
    vi.advanceTimersByTime(1000);
    expect(warnings).toHaveLength(2);
    dog.stop();
  });

  it('says nothing when it is stopped or not wanted', () => {
    silent = 1e9;
    const stopped = watch(1000);
    stopped.stop();
    const unwanted = watch(0);
    vi.advanceTimersByTime(1e6);
    expect(warnings).toEqual([]);
    expect(unwanted.stalledMs).toBe(0);
  });
});
