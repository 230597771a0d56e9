import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lanes } from '../../../ts/engine/lanes.js';

/** Sees who is in which lane. */
class Watch {
  readonly order = new Map<string, number[]>();
  readonly #inside = new Set<string>();

  enter(names: readonly string[], job: number): void {
    for (const name of names) {
      expect(this.#inside.has(name)).toBe(false);
      this.#inside.add(name);
      this.order.set(name, [...(this.order.get(name) ?? []), job]);
    }
  }

  leave(names: readonly string[]): void {
    for (const name of names) this.#inside.delete(name);
  }
}

describe('Lanes', () => {
  it('keep order within a lane, overlap between lanes, and come to an end', async () => {
    const lane = fc.constantFrom('a', 'b', 'c');
    const job = fc.record({
      lanes: fc.uniqueArray(lane, { minLength: 0, maxLength: 2 }),
      fails: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(job, { maxLength: 12 }), async (scheduler, jobs) => {
        const lanes = new Lanes();
        const watch = new Watch();
        const results = jobs.map(({ lanes: names, fails }, i) =>
          lanes.enter(names, async () => {
            watch.enter(names, i);
            await scheduler.schedule(Promise.resolve());
            watch.leave(names);
            if (fails) throw new Error(`job ${i}`);
          }),
        );
        const settled = Promise.allSettled(results);
        await scheduler.waitFor(settled);
        for (const [i, result] of (await settled).entries()) {
          expect(result.status).toBe(jobs[i]?.fails ? 'rejected' : 'fulfilled');
        }
        for (const seen of watch.order.values()) expect(seen).toEqual([...seen].sort((a, b) => a - b));
        await lanes.drained();
        expect(lanes.busy).toBe(0);
      }),
    );
  });

  it('do not wait for each other when two pieces of work want the same two lanes', async () => {
    const lanes = new Lanes();
    const both = [lanes.enter(['a', 'b'], async () => 1), lanes.enter(['b', 'a'], async () => 2)];
    expect(await Promise.all(both)).toEqual([1, 2]);
  });

  it('are drained only when work that came meanwhile is over, too', async () => {
    const lanes = new Lanes();
    let late = false;
    void lanes.enter(['a'], async () => {
      void lanes.enter(['a'], async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        late = true;
      });
    });
    await lanes.drained();
    expect(late).toBe(true);
  });
});
