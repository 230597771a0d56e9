import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatCsv, parseCsv } from '../../../bench/csv.mjs';
import { replaceBlocks } from '../../../bench/generated.mjs';
import { shortCpuName } from '../../../bench/machine.mjs';

const word = fc.stringMatching(/^[a-z][a-z0-9 =-]{0,20}$/);
const sample = fc.record({
  group: word,
  name: word,
  unit: fc.constantFrom('ms', 'tok/s'),
  side: word,
  variant: fc.oneof(fc.constant(''), word),
  trial: fc.integer({ min: 1, max: 9 }),
  value: fc.integer({ min: 1, max: 999_999 }).map((n) => n / 1000),
});

describe('a run as CSV', () => {
  it('comes back as it went', () => {
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
        const about = { cpu: 'Some CPU @ 2.5: two', cores: '2', flags: '' };
        expect(parseCsv(formatCsv({ about, samples }))).toEqual({ about, samples });
      }),
    );
  });

  it('refuses a field that would break a line', () => {
    const broken = { group: 'a', name: 'b,c', unit: 'ms', side: 'd', variant: '', trial: 1, value: 1 };
    expect(() => formatCsv({ about: {}, samples: [broken] })).toThrow(/b,c/);
  });

  it.each([
    ['nothing', ''],
    ['another table', 'case,unit\nprefill,1\n'],
    ['a cut line', 'group,case,unit,side,variant,trial,value\ndecode,decode short,tok/s\n'],
    ['no number', 'group,case,unit,side,variant,trial,value\na,b,ms,c,,1,fast\n'],
  ])('refuses %s and says where', (_, text) => {
    expect(() => parseCsv(text)).toThrow(/^(line \d+ is not|no figures)/);
  });
});

describe('file names', () => {
  it.each([
    ['Intel(R) Xeon(R) Processor @ 2.50GHz', 'xeon-2.5ghz'],
    ['AMD EPYC 9R14', 'epyc-9r14'],
    ['Apple M2 Pro', 'apple-m2-pro'],
    ['', 'unknown'],
  ])('of %s: %s', (cpu, expected) => {
    expect(shortCpuName(cpu)).toBe(expected);
  });
});

describe('generated blocks', () => {
  const page = 'before\n<!-- generated: a -->\nold\n<!-- /generated -->\nafter\n';

  it('are replaced, and nothing else is', () => {
    const once = replaceBlocks(page, { a: '| new |' });
    expect(once).toBe('before\n<!-- generated: a -->\n| new |\n<!-- /generated -->\nafter\n');
    expect(replaceBlocks(once, { a: '| new |' })).toBe(once);
  });

  it('must be there', () => {
    expect(() => replaceBlocks(page, { b: 'x' })).toThrow(/generated: b/);
  });
});
