import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkGenerateOptions } from '../../../ts/engine/generate-options.js';
import { Seeds } from '../../../ts/engine/seeds.js';
import type { GenerateOptions } from '../../../ts/engine/types.js';

const context = { vocabSize: 100, nextSeed: () => 5 };
const check = (options: GenerateOptions) => checkGenerateOptions(options, context).sampling;

describe('the options of a generation', () => {
  it('change nothing when left out', () => {
    expect(check({})).toMatchObject({
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      biasIds: new Int32Array(0),
      biases: new Float32Array(0),
      topLogprobs: -1,
      seed: 5,
    });
  });

  it('reach the core as they are', () => {
    const options = {
      repetitionPenalty: 1.5,
      presencePenalty: -2,
      frequencyPenalty: 2,
      topLogprobs: 0,
      seed: 9,
    };
    expect(check(options)).toMatchObject(options);
  });

  it('split a bias into ids and numbers', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.nat(99).map(String), fc.integer({ min: -100, max: 100 }), { maxKeys: 50 }),
        (logitBias) => {
          const { biasIds, biases } = check({ logitBias });
          const pairs = Array.from(biasIds, (id, i) => [id, biases[i] ?? Number.NaN]);
          expect(Object.fromEntries(pairs)).toEqual(logitBias);
        },
      ),
    );
  });

  it.each([
    ['repetitionPenalty', 0],
    ['repetitionPenalty', 11],
    ['presencePenalty', 2.1],
    ['frequencyPenalty', -2.1],
    ['frequencyPenalty', Number.NaN],
    ['topLogprobs', -1],
    ['topLogprobs', 21],
    ['topLogprobs', true],
    ['seed', -1],
    ['logitBias', [1]],
    ['logitBias', 7],
    ['logitBias', Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 0]))],
  ])('refuse %s = %j by name', (field, value) => {
    expect(() => check({ [field]: value } as GenerateOptions)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        fields: expect.objectContaining({
          field: expect.stringContaining(field),
          allowed: expect.anything(),
        }),
      }),
    );
  });

  it.each([['100'], ['-1'], ['1.5'], ['x'], ['']])('refuse a bias for %j, which is no token', (id) => {
    expect(() => check({ logitBias: { [id]: 1 } })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
  });

  it.each([[101], [Number.NaN], ['1'], [null]])('refuse %j as a bias', (bias) => {
    const logitBias = { 7: bias } as unknown as Record<number, number>;
    expect(() => check({ logitBias })).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ field: 'logitBias[7]' }) }),
    );
  });
});

describe('the seeds of requests that name none', () => {
  const taken = (seeds: Seeds) => Array.from({ length: 20 }, () => seeds.next());

  it('are the same again after the same seed, and differ among each other', () => {
    const seeds = new Seeds();
    seeds.set(42);
    const first = taken(seeds);
    seeds.set(42);
    expect(taken(seeds)).toEqual(first);
    expect(new Set(first).size).toBe(20);
    seeds.set(43);
    expect(taken(seeds)).not.toEqual(first);
    for (const seed of first) expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
  });

  it('are chance without one', () => {
    const seeds = new Seeds();
    const first = taken(seeds);
    seeds.set(1);
    seeds.set(undefined);
    expect(new Set([...first, ...taken(seeds)]).size).toBe(40);
  });
});
