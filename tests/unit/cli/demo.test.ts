import { describe, expect, it } from 'vitest';
import { team, teamGuide } from '../../../ts/cli/demo/guide.js';
import { howOf, storyTable } from '../../../ts/cli/demo/story.js';
import { scoreInWindows } from '../../../ts/cli/windows.js';
import { servedNames } from '../../../ts/engine/models/served-names.js';
import type { Usage } from '../../../ts/engine/types.js';

function usage(fields: Partial<Usage>): Usage {
  const { ownTokens = 0, sharedTokens = 0, restoredTokens = 0, promptTokens = 1000 } = fields;
  const cachedTokens = ownTokens + sharedTokens + restoredTokens;
  return {
    promptTokens,
    cachedTokens,
    computedTokens: promptTokens - cachedTokens,
    generatedTokens: 32,
    draftedTokens: 0,
    acceptedTokens: 0,
    ownTokens,
    sharedTokens,
    restoredTokens,
    missReason: '',
    queuedMs: 0,
    firstTokenMs: 100,
    totalMs: 500,
    ...fields,
  };
}

describe('the demo', () => {
  it('names what helped most', () => {
    expect(howOf(usage({}))).toBe('cold');
    expect(howOf(usage({ sharedTokens: 900, ownTokens: 10 }))).toBe('shared prefix');
    expect(howOf(usage({ ownTokens: 900, sharedTokens: 10 }))).toBe('returning');
    expect(howOf(usage({ restoredTokens: 900, sharedTokens: 10 }))).toBe('restored from disk');
  });

  it('compares every turn with the cold one', () => {
    const rows = [
      { agent: 'planner', round: 1, usage: usage({ firstTokenMs: 2000 }) },
      { agent: 'builder', round: 1, usage: usage({ sharedTokens: 900, firstTokenMs: 250 }) },
      { agent: 'planner', round: 3, usage: usage({ restoredTokens: 950, firstTokenMs: 50 }) },
    ];
    const lines = storyTable(rows).split('\n').slice(2);
    expect(lines[0]).toMatch(/^planner +1 +cold +2\.00 s +1000 +0 +1\.0x$/);
    expect(lines[1]).toMatch(/^builder +1 +shared prefix +250 ms +100 +900 +8\.0x$/);
    expect(lines[2]).toMatch(/^planner +3 +restored from disk +50 ms +50 +950 +40x$/);
  });

  it('has a guide worth sharing and a question for everybody in every round', () => {
    expect(teamGuide.split(/\s+/).length).toBeGreaterThan(1000);
    for (const { rounds } of team) expect(rounds).toHaveLength(3);
  });
});

describe('a text is scored in windows', () => {
  const ids = Array.from({ length: 25 }, (_, index) => index);

  it('from its beginning, each alone, without what is left over', async () => {
    const seen: (readonly number[])[] = [];
    const told: string[] = [];
    const score = async (tokens: readonly number[]): Promise<{ logprobs: Float32Array }> => {
      seen.push(tokens);
      return {
        logprobs: new Float32Array(tokens.length - 1).fill(Math.log(seen.length === 1 ? 0.5 : 0.125)),
      };
    };
    const result = await scoreInWindows(ids, 10, score, (done, total) => told.push(`${done}/${total}`));
    expect(seen).toEqual([ids.slice(0, 10), ids.slice(10, 20)]);
    expect(told).toEqual(['1/2', '2/2']);
    expect(result).toMatchObject({ windows: 2, scoredTokens: 18 });
    expect(result?.perplexity).toBeCloseTo(4, 4);
  });

  it('unless it is too short for one', async () => {
    const score = () => Promise.reject(new Error('must not be asked'));
    expect(await scoreInWindows(ids, 26, score, () => undefined)).toBeUndefined();
  });
});

it.each([
  ['smollm2-135m', 'smollm2-135m', []],
  ['/models/My Model.Q4_1.gguf', 'My Model.Q4_1', ['/models/My Model.Q4_1.gguf', 'My Model.Q4_1.gguf']],
  ['./tiny', 'tiny', ['./tiny']],
  ['owner/name', 'owner/name', ['name']],
])('%s is served as %s', (model, id, aliases) => {
  expect(servedNames(model)).toEqual({ id, aliases });
});
