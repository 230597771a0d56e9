/** Every family's tiny checkpoints on the `cpu` executor, held against the reference implementation. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fixture, load } from './engines.js';

interface Golden {
  readonly prompts: readonly { readonly ids: number[] }[];
  readonly models: Record<string, readonly { readonly greedy: number[]; readonly margins: number[] }[]>;
}

// Where two tokens are nearly as likely, arithmetic of another precision may choose the other one.
// Weights of few bits leave it less to choose by: without matrix units, prompts too have activations of eight bits.
const doubtBelow = (name: string): number => (/mlx[34]/.test(name) ? 0.4 : 0.25);

describe.each(['families', 'mixtures', 'tiny-llama'])('of golden/%s.json', (file) => {
  const golden = JSON.parse(readFileSync(fixture(`golden/${file}.json`), 'utf8')) as Golden;

  it.each(Object.keys(golden.models))('%s says what the reference says', async (name) => {
    const engine = await load(fixture(`models/${name}`));
    let compared = 0;
    for (const [i, { greedy, margins }] of (golden.models[name] ?? []).entries()) {
      const doubt = margins.findIndex((margin) => margin < doubtBelow(name));
      const clear = doubt < 0 ? margins.length : doubt;
      const options = { maxTokens: Math.max(1, clear), ignoreEos: true };
      const result = await engine.complete(golden.prompts[i]?.ids ?? [], options).result;
      expect(result.tokens.slice(0, clear)).toEqual(greedy.slice(0, clear));
      compared += clear;
    }
    expect(compared).toBeGreaterThan(0);
  });
});
