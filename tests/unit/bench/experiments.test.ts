import { describe, expect, it } from 'vitest';
import { modelOf } from '../../../bench/experiments/exp-001.mjs';
import { highest, shortfalls } from '../../../bench/experiments/exp-005.mjs';
import { bytesOf } from '../../../bench/experiments/exp-006.mjs';
import { judge } from '../../../bench/experiments/exp-011.mjs';
import { memoryOf } from '../../../bench/experiments/exp-014.mjs';
import { gapsWithin, percentile } from '../../../bench/experiments/exp-015.mjs';
import { ids, load } from '../../../bench/experiments/list.mjs';
import { parseOptions } from '../../../bench/experiments/options.mjs';
import { merged } from '../../../bench/experiments/publish.mjs';
import { details, overview, shown, summary } from '../../../bench/experiments/report.mjs';
import { figure, judged } from '../../../bench/experiments/verdict.mjs';

const about = { question: 'Is it so?', method: 'by looking', target: 'it is' };

describe('every experiment', () => {
  it.each(ids)('%s says what it asks, how and what it should find, and can run', async (id) => {
    const experiment = await load(id);
    for (const field of ['question', 'method', 'target']) expect(experiment.about[field]).toMatch(/\w/);
    expect(experiment.about.question).toMatch(/\?$/);
    expect(experiment.run).toBeTypeOf('function');
  });
});

describe('the command line', () => {
  it('runs all, or those that are named, in order', () => {
    expect(parseOptions([]).ids).toEqual(ids);
    expect(parseOptions(['exp-005', '1', '005']).ids).toEqual(['001', '005']);
  });

  it('refuses what is no experiment, and no option', () => {
    expect(() => parseOptions(['099'])).toThrow(/099: expected one of 001/);
    expect(() => parseOptions(['x1'])).toThrow(/expected one of/);
    expect(() => parseOptions(['--fast'])).toThrow(/--fast/);
  });

  it('leaves the document to the default model', () => {
    expect(parseOptions([]).docs).toBe(true);
    expect(parseOptions(['--no-docs']).docs).toBe(false);
    expect(parseOptions(['--model', 'other.gguf']).docs).toBe(false);
  });
});

describe('a finding', () => {
  it('is met without faults, and else says all of them', () => {
    expect(judged([], [], 'fine')).toEqual({ figures: [], verdict: 'met', why: 'fine' });
    expect(judged([], ['a', 'b'])).toMatchObject({ verdict: 'missed', why: 'a; b' });
  });

  it('has numbers only', () => {
    expect(() => figure('rate', Number.NaN, 'tok/s')).toThrow(/rate: no number/);
  });

  it('is shown with its figures, where and when it was found', () => {
    const on = { machine: 'a machine', date: '2026-01-01' };
    const finding = judged([figure('cache | all', 1234, 'MB'), figure('time', 0.01234, 'ms')], []);
    const entries = [
      { id: '001', about, finding, on },
      { id: '002', about },
    ];
    expect(overview(entries)).toContain('| EXP-002 | Is it so? | it is | not run |');
    const text = details(entries);
    expect(text).toContain('| cache \\| all | 1,234 | MB |');
    expect(text).toContain('a machine; 2026-01-01.');
    expect(text).not.toContain('EXP-002');
    expect(summary([{ id: '001', about, finding }])).toContain('time: 0.0123 ms');
    expect(shown(0)).toBe('0');
  });

  it('takes the place of an older one, unless it failed to run', () => {
    const old = { '001': { finding: 1 }, '002': { finding: 2 } };
    const entries = [
      { id: '001', finding: judged([], []), on: 'now' },
      { id: '002', finding: { verdict: 'failed', why: 'x', figures: [] } },
    ];
    expect(merged(old, entries)).toEqual({
      '001': { finding: { figures: [], verdict: 'met', why: '' }, on: 'now' },
      '002': { finding: 2 },
    });
  });
});

describe('what is counted', () => {
  it('knows the forms of a model', () => {
    const forms = [
      'tiny-qwen2-yarn-bf16',
      'tiny-qwen2-yarn.Q8_0.gguf',
      'tiny-llama-f32-sharded',
      'tiny-llama-mlx-mixed',
    ];
    expect(modelOf('tiny-gpt_oss-mxfp4')).toBe(modelOf('tiny-gpt_oss.MXFP4.gguf'));
    expect(forms.map(modelOf)).toEqual(['tiny-qwen2-yarn', 'tiny-qwen2-yarn', 'tiny-llama', 'tiny-llama']);
  });

  it('finds agents that are slower together than fewer, and too far from the limit', () => {
    expect(
      shortfalls([
        { agents: 1, rate: 100, share: 81 },
        { agents: 3, rate: 98, share: 80 },
      ]),
    ).toEqual([]);
    expect(
      shortfalls([
        { agents: 1, rate: 100, share: 79 },
        { agents: 3, rate: 90, share: 90 },
      ]),
    ).toEqual(['1 agents reach 79 %', '3 agents are slower than fewer']);
  });

  it('takes the higher of two ceilings', () => {
    const twice = [5, 7, 6].map((value) => ({ name: 'read memory', value, unit: 'GB/s' }));
    expect(highest([...twice, { name: 'amx bf16', value: 1, unit: 'GOP/s' }])).toEqual({
      'read memory': 7,
      'amx bf16': 1,
    });
  });

  it('counts keys and values of 16 bits', () => {
    expect(bytesOf({ layers: 2, kvHeads: 3, headDim: 5 }, 7)).toBe(7 * 2 * 2 * 3 * 5 * 2);
  });

  it('pads every row to the longest, and fills whole blocks', () => {
    expect(memoryOf([1, 64, 65], 10, 64)).toEqual({ padded: 3 * 650, blocks: 4 * 640, exact: 1300 });
  });
});

describe('tokens apart', () => {
  const at = (...times: number[]) => ({ times: times.map((ms) => ({ at: ms, count: 1 })) });

  it('are told within answers, not between them, where both lie in the phase', () => {
    expect(gapsWithin([at(0, 10, 30), at(40, 45, 99)], 5, 50)).toEqual([20, 5]);
  });

  it('have a percentile that is one of them', () => {
    const numbers = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect([0, 0.5, 0.99, 1].map((share) => percentile(numbers, share))).toEqual([1, 101, 199, 200]);
  });
});

describe('memory', () => {
  const at = (native: number) => ({ native, total: native + 40 });
  const round = (used: number, closed: number) => ({
    main: { used: at(used), closed: at(closed) },
    other: { used: at(60), closed: at(55) },
  });
  const of = (...rounds: ReturnType<typeof round>[]) => judge({ start: at(40), rounds }).faults;

  it('comes back when rounds are alike, whatever one of them keeps for a while', () => {
    expect(of(round(200, 50), round(205, 52), round(260, 51), round(201, 53))).toEqual([]);
  });

  it('does not when a model takes more each time, or leaves more', () => {
    expect(of(round(200, 50), round(220, 50), round(230, 50))).toEqual([
      expect.stringMatching(/takes 12.5 %/),
    ]);
    expect(of(round(200, 50), round(200, 80), round(200, 90))).toEqual([
      expect.stringMatching(/grew by 17.5 %/),
    ]);
    expect(of(round(2000, 1000), round(2000, 1000))).toEqual([expect.stringMatching(/1040 MB are left/)]);
  });
});
