import { describe, expect, it } from 'vitest';
import { handOvers, judgeCounts, judgeTokens } from '../../../ts/cli/stress/judge.js';
import { percentile, reportTable } from '../../../ts/cli/stress/report.js';
import type { Done } from '../../../ts/cli/stress/scenario.js';

const done = (
  token: number,
  askedAt: number,
  acquiredAt: number,
  releasedAt: number | undefined,
  key = 'k',
): Done => ({
  scenario: 'files',
  target: 't',
  count: 1,
  key,
  token: String(token),
  askedAt,
  acquiredAt,
  releasedAt,
});

describe('the judge of a stress run', () => {
  const told = new Map([
    ['ann', 3],
    ['bob', 2],
  ]);

  it('finds nothing wrong where all that was told is there', () => {
    expect(judgeCounts('t', told, { ann: 3, bob: 2 }, new Set())).toEqual({ lost: 0, problems: [] });
  });

  it('counts what is missing as lost', () => {
    const judgement = judgeCounts('t', told, { ann: 1 }, new Set());
    expect(judgement.lost).toBe(4);
    expect(judgement.problems).toHaveLength(2);
  });

  it('allows one change more of an agent that was killed before it could tell, and no other', () => {
    expect(judgeCounts('t', told, { ann: 4, bob: 2 }, new Set(['ann'])).problems).toEqual([]);
    expect(judgeCounts('t', told, { ann: 5, bob: 2 }, new Set(['ann'])).problems).toHaveLength(1);
    expect(judgeCounts('t', told, { ann: 4, bob: 2 }, new Set(['bob'])).problems).toHaveLength(1);
    expect(judgeCounts('t', told, { ann: 3, bob: 2, cid: 1 }, new Set()).problems).toHaveLength(1);
  });

  it('finds tokens that were given twice and keys that two held', () => {
    expect(judgeTokens([done(1, 0, 0, 5), done(2, 0, 6, 7)])).toEqual([]);
    expect(judgeTokens([done(1, 0, 0, 5), done(1, 0, 6, 7)])).toHaveLength(1);
    expect(judgeTokens([done(2, 0, 4, 7), done(1, 0, 0, 5)])).toHaveLength(1);
    expect(judgeTokens([done(1, 0, 0, undefined), done(2, 0, 4, 7)])).toEqual([]);
    expect(judgeTokens([done(1, 0, 0, 5, 'a'), done(2, 0, 4, 7, 'b')])).toEqual([]);
    expect(judgeTokens([done(0, 0, 0, 5), done(0, 0, 4, 7)])).toEqual([]);
  });

  it('takes the time of a hand-over where somebody waited', () => {
    expect(handOvers([done(1, 0, 0, 5), done(2, 3, 6, 7), done(3, 9, 9, 10)])).toEqual([1]);
  });
});

describe('the report of a stress run', () => {
  it('has a row for each scenario', () => {
    const row = { refused: { RESOURCE_BUSY: 2, FENCED: 1 }, waitsMs: [1, 2, 30], handOversMs: [], lost: 0 };
    const lines = reportTable([{ scenario: 'files', operations: 3, ...row }]).split('\n');
    expect(lines[2]?.split(/ {2,}/)).toEqual(['files', '3', '2', '1', '2.0 ms', '30 ms', '-', '-', '0']);
  });

  it('takes percentiles from values that were measured', () => {
    expect(percentile([3, 1, 2], 0.5)).toBe('2.0 ms');
    expect(percentile([3, 1, 2], 0.99)).toBe('3.0 ms');
    expect(percentile([], 0.5)).toBe('-');
  });
});
