import { describe, expect, it } from 'vitest';
import { decodeLimit, limitOf, prefillLimit } from '../../../bench/limits.mjs';

// Small enough to count by hand.
const facts = {
  weightsBytes: 1e9,
  kvBytesPerToken: 1e6,
  layers: 2,
  heads: 3,
  headDim: 5,
  layerParams: 1e9,
  headParams: 5e8,
};
const ceilings = {
  'read model size': 10,
  'read memory': 5,
  'int8 dot vnni': 1000,
  'int8 dot avx2': 100,
  'amx bf16': 4000,
};

describe('the limit of a decode step', () => {
  it('reads the weights once and the cache of every sequence', () => {
    const limit = decodeLimit(facts, ceilings, { sequences: 4, context: 100 });
    expect(limit.name).toBe('read model size');
    expect(limit.seconds).toBeCloseTo((1e9 + 4 * 100 * 1e6) / 10e9);
  });

  it('reads a shared prefix once', () => {
    const { seconds } = decodeLimit(facts, ceilings, { sequences: 4, context: 100, shared: 90 });
    expect(seconds).toBeCloseTo((1e9 + (90 + 4 * 10) * 1e6) / 10e9);
  });

  it('is arithmetic where many rows share the weights', () => {
    const limit = decodeLimit(facts, ceilings, { sequences: 50, context: 1 });
    expect(limit.name).toBe('int8 dot vnni');
    const attention = 4 * 2 * 3 * 5;
    expect(limit.seconds).toBeCloseTo((50 * (2 * 1.5e9 + attention)) / 1000e9);
  });

  it('takes the peak of the instructions that are allowed', () => {
    const limit = decodeLimit(facts, ceilings, { sequences: 50, context: 1, avx2: true });
    expect(limit.name).toBe('int8 dot avx2');
  });

  it('asks for a measured ceiling', () => {
    expect(() => decodeLimit(facts, {}, { sequences: 1, context: 1 })).toThrow(/was measured/);
  });
});

describe('the limit of a prompt', () => {
  const tokens = 1000;

  it('counts the layers for every token, the output matrix once, and attention by pairs', () => {
    const limit = prefillLimit(facts, ceilings, { tokens });
    expect(limit.name).toBe('amx bf16');
    const ops = tokens * 2e9 + 1e9 + 4 * 2 * 3 * 5 * ((tokens * 1001) / 2);
    expect(limit.seconds).toBeCloseTo(ops / 4000e9);
  });

  it('takes 8-bit dot products where there is no AMX, and AVX2 where that is forced', () => {
    const { 'amx bf16': _, ...without } = ceilings;
    expect(prefillLimit(facts, without, { tokens }).name).toBe('int8 dot vnni');
    expect(prefillLimit(facts, ceilings, { tokens, avx2: true }).name).toBe('int8 dot avx2');
  });
});

describe('limits by case', () => {
  it('come in the unit of the case', () => {
    const rate = limitOf('prefill 2048', facts, ceilings)?.value ?? Number.NaN;
    const ms = limitOf('first token cold 2K', facts, ceilings)?.value ?? Number.NaN;
    expect(rate * ms).toBeCloseTo(2048 * 1e3);
    const one = limitOf('sum over 1', facts, ceilings)?.value ?? Number.NaN;
    const eight = limitOf('sum over 8', facts, ceilings)?.value ?? Number.NaN;
    expect(eight).toBeGreaterThan(2 * one);
  });

  it('are easier behind a shared prefix than with private caches', () => {
    const own = limitOf('sum over 8 at 2K private', facts, ceilings)?.value ?? Number.NaN;
    const shared = limitOf('sum over 8 at 2K shared', facts, ceilings)?.value ?? Number.NaN;
    expect(shared).toBeGreaterThan(4 * own);
  });

  it('are not counted for what no formula covers', () => {
    expect(limitOf('first token restored 2K', facts, ceilings)).toBeUndefined();
    expect(limitOf('event loop p99', facts, ceilings)).toBeUndefined();
  });
});
