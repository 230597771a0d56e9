import { describe, expect, it } from 'vitest';
import { schedule, worthMore } from '../../../bench/campaign.mjs';
import { chooseGroups } from '../../../bench/cases.mjs';
import { plotsOf } from '../../../bench/charts.mjs';
import { checksOf } from '../../../bench/checks.mjs';
import { parseVariant } from '../../../bench/contenders.mjs';
import { Results } from '../../../bench/figures.mjs';
import { parseOptions } from '../../../bench/options.mjs';
import { table } from '../../../bench/report.mjs';

const sample = (side: string, variant: string, name: string, unit: string, ...values: number[]) =>
  values.map((value, i) => ({ group: 'g', name, unit, side, variant, trial: i + 1, value }));

const samples = [
  ...sample('stomp-serve', '', 'sum over 1', 'tok/s', 90, 100, 110),
  ...sample('stomp-serve', '', 'sum over 8', 'tok/s', 700),
  ...sample('stomp-serve', '', 'sum over 8 at 2K shared', 'tok/s', 300),
  ...sample('node-llama-cpp', 'flashAttention=true', 'sum over 8', 'tok/s', 90, 80, 100),
  ...sample('node-llama-cpp', 'flashAttention=false', 'sum over 8', 'tok/s', 100, 10, 110),
  ...sample('node-llama-cpp', 'flashAttention=true', 'sum over 8 at 2K private', 'tok/s', 30),
  ...sample('stomp-serve', '', 'first token restored 2K', 'ms', 100),
  ...sample('stomp-serve', '', 'first token cold 2K', 'ms', 3000),
  ...sample('machine', '', 'read model size', 'GB/s', 10),
  ...sample('machine', '', 'int8 dot vnni', 'GOP/s', 1000),
];
const about = {
  weightsBytes: '1e8',
  kvBytesPerToken: '23040',
  layers: '30',
  heads: '9',
  headDim: '64',
  layerParams: '1e8',
  headParams: '3e7',
};
const results = new Results({ about, samples });

describe('figures', () => {
  it('take the best variant of a side, and say which', () => {
    const figure = results.figure('node-llama-cpp', 'sum over 8');
    expect(figure).toMatchObject({
      variant: 'flashAttention=false',
      median: 100,
      low: 10,
      high: 110,
      trials: 3,
    });
    expect(results.ratio('sum over 8')).toBeCloseTo(7);
  });

  it('take the unshared case of a side that shares nothing', () => {
    expect(results.ratio('sum over 8 at 2K shared')).toBeCloseTo(10);
    expect(results.figure('stomp-serve', 'sum over 8 at 2K private')).toBeUndefined();
  });

  it('leave the ceilings out of the cases', () => {
    expect(results.cases).not.toContain('read model size');
    expect(results.share('stomp-serve', 'sum over 1')?.share).toBeGreaterThan(0.9);
  });

  it('are listed with limit and share', () => {
    const line = table(results)
      .split('\n')
      .find((text) => text.startsWith('| sum over 8 |'));
    expect(line).toContain('| 7.00 | flashAttention=false |');
    expect(line).toMatch(/\| \d+ % \|$/);
  });
});

describe('targets', () => {
  const check = (name: string) => checksOf(results).find((c) => c.name.startsWith(name));

  it('are met, missed, or not measured', () => {
    expect(check('sum over 8, ours / node')).toMatchObject({ ok: true, target: 6 });
    expect(check('first token 2K, cold / restored')).toMatchObject({ value: 30, ok: true });
    expect(check('prefill 512')?.ok).toBeUndefined();
    expect(check('event loop')?.ok).toBeUndefined();
  });

  it('see a batch size that falls behind', () => {
    const slow = [...samples, ...sample('stomp-serve', '', 'sum over 4', 'tok/s', 90)];
    expect(checksOf(new Results({ about, samples: slow })).find((c) => c.name.startsWith('batch'))?.ok).toBe(
      false,
    );
  });
});

describe('plots', () => {
  it('are well-formed, labelled and hold no value that is no number', () => {
    const plots = plotsOf(results);
    expect(plots.map(({ name }) => name)).toEqual(['sum', 'sum-2k', 'first-token', 'limits']);
    for (const { svg } of plots) {
      expect(svg).toMatch(/^<svg [^>]*viewBox="0 0 800 400"/);
      expect(svg).toContain('prefers-color-scheme: dark');
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      const opened = svg.match(/<(svg|style|text)\b/g)?.length;
      expect(svg.match(/<\/(svg|style|text)>/g)?.length).toBe(opened);
    }
  });
});

describe('the campaign', () => {
  const variants = ['flashAttention=true', 'flashAttention=false'].map((name) => ({
    side: 'node-llama-cpp',
    name,
  }));

  it('drops a variant that is behind in everything, and no other', () => {
    const close = [
      ...sample('node-llama-cpp', 'flashAttention=true', 'x', 'tok/s', 95),
      ...sample('node-llama-cpp', 'flashAttention=false', 'x', 'tok/s', 100),
    ];
    expect(variants.map((variant) => worthMore(close, variant, 'g'))).toEqual([true, true]);
    const far = close.map((s) => (s.value === 95 ? { ...s, value: 50 } : s));
    expect(variants.map((variant) => worthMore(far, variant, 'g'))).toEqual([false, true]);
  });

  it('lets the sides take turns and long groups rest', () => {
    const groups = [
      { name: 'a', maxTrials: 1 },
      { name: 'b', maxTrials: 9 },
    ];
    const sides = [{ name: 'x' }, { name: 'y', groups: ['b'] }];
    const order = schedule(groups, sides, 2).map((t) => `${t.trial}${t.group.name}${t.variant.name}`);
    expect(order).toEqual(['1ax', '1bx', '1by', '2bx', '2by']);
  });
});

describe('the command line', () => {
  it('says what it does not know', () => {
    expect(() => parseOptions(['--trials', '0'])).toThrow(/whole number/);
    expect(() => parseOptions(['--only', 'theirs'])).toThrow(/"ours"/);
    expect(() => chooseGroups('decode,speed')).toThrow(/no "speed"; known: decode, context/);
    expect(() => parseVariant('exact')).toThrow(/NAME:option=value/);
  });

  it('takes engine options as variants', () => {
    expect(parseVariant('small:kvBits=8,numerics=exact')).toEqual({
      label: 'small',
      options: { kvBits: 8, numerics: 'exact' },
    });
  });

  it('leaves the page alone when only a part was measured', () => {
    expect(parseOptions(['--cases', 'decode']).docs).toBe(false);
    expect(parseOptions([]).docs).toBe(true);
  });
});
