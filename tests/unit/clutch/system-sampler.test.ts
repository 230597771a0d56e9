import { afterEach, describe, expect, it } from 'vitest';
import type { SystemSample } from '../../../ts/clutch/events/state.js';
import { SystemSampler } from '../../../ts/clutch/events/system-sampler.js';

describe('the sampler', () => {
  const warnings: unknown[] = [];
  let sampler: SystemSampler | undefined;
  afterEach(() => {
    sampler?.close();
    warnings.length = 0;
  });

  function open(): SystemSample[] {
    const samples: SystemSample[] = [];
    sampler = new SystemSampler({ depth: () => 7, everyMs: 200, onWarning: (error) => warnings.push(error) });
    sampler.on(() => {
      throw new Error('thrown');
    });
    sampler.on((sample) => samples.push(sample));
    return samples;
  }

  it('measures this process again and again, whatever a listener throws', async () => {
    const samples = open();
    expect(sampler?.last.queue_depth).toBe(7);
    await expect.poll(() => samples.length).toBeGreaterThan(1);
    const [sample] = samples;
    expect(sample?.queue_depth).toBe(7);
    expect(sample?.rss_bytes).toBeGreaterThan(1e6);
    expect(sample?.heap_bytes).toBeGreaterThan(1e6);
    expect(Math.abs(Date.now() - (sample?.at ?? 0))).toBeLessThan(60_000);
    expect(warnings.length).toBeGreaterThan(0);
  });

  it('sees that the event loop is held up, and for how long, and what that uses', async () => {
    const samples = open();
    await expect.poll(() => samples.length).toBe(1);
    const begin = process.cpuUsage();
    const used = () => {
      const { user, system } = process.cpuUsage(begin);
      return (user + system) / 1000;
    };
    while (used() < 300);
    // The delay may be measured just after the next sample was taken.
    await expect
      .poll(() => Math.max(...samples.slice(1).map((sample) => sample.loop_delay_p99_ms)))
      .toBeGreaterThan(250);
    expect(Math.max(...samples.slice(1).map((sample) => sample.cpu_percent))).toBeGreaterThan(5);
  });

  it('says nothing once it is closed', async () => {
    const samples = open();
    await expect.poll(() => samples.length).toBe(1);
    sampler?.close();
    const others = open();
    await expect.poll(() => others.length).toBeGreaterThan(1);
    expect(samples).toHaveLength(1);
  });
});
