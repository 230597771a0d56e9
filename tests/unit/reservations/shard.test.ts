import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CallGraph, CallStep } from '../../../ts/reservations/graph/call-graph.js';
import { impact } from '../../../ts/reservations/impact.js';
import { shard } from '../../../ts/reservations/shard.js';
import type { CodeSymbol, FileSymbols } from '../../../ts/reservations/symbols/symbols.js';

function fileOf(path: string, count: number): FileSymbols {
  const symbols = Array.from(
    { length: count },
    (_, i): CodeSymbol => ({
      name: `f${i}`,
      kind: 'function',
      range: { start: 0, end: 0, startLine: 1, endLine: 1 },
      bodyHash: '',
      signatureHash: '',
      shapeHash: '',
      calls: [],
    }),
  );
  return { path, contentId: path, language: 'python', symbols, imports: [], calls: [] };
}

function graphOf(calls: readonly (readonly [string, string])[]): CallGraph {
  const steps: CallStep[] = calls.map(([caller, callee]) => ({ caller, callee, confidence: 1 }));
  const callers = (address: string) => steps.filter(({ callee }) => callee === address);
  return {
    callees: (address) => steps.filter(({ caller }) => caller === address),
    callers,
    callersWithin(addresses, depth) {
      const found = new Map<string, readonly CallStep[]>(addresses.map((address) => [address, []]));
      let last = [...addresses];
      for (let i = 0; i < depth; i++) {
        const next = last.flatMap(callers).filter(({ caller }) => !found.has(caller));
        for (const step of next) found.set(step.caller, [step, ...(found.get(step.callee) ?? [])]);
        last = next.map(({ caller }) => caller);
      }
      return found;
    },
  };
}

/** A ring of files, each calling the next. */
function ring(name: string, size: number): [string, string][] {
  return Array.from({ length: size }, (_, i) => [`${name}${i}::f0`, `${name}${(i + 1) % size}::f0`]);
}

describe('parts of a repository', () => {
  it('keep together what calls each other', () => {
    const files = ['a', 'b'].flatMap((name) => Array.from({ length: 6 }, (_, i) => fileOf(`${name}${i}`, 2)));
    const { parts, cutCalls, calls } = shard(files, graphOf([...ring('a', 6), ...ring('b', 6)]), 2);
    expect({ cutCalls, calls }).toEqual({ cutCalls: 0, calls: 12 });
    expect(parts.map(({ symbols }) => symbols)).toEqual([12, 12]);
  });

  it('cut a component that is too large where the fewest calls are', () => {
    const files = ['a', 'b'].flatMap((name) => Array.from({ length: 6 }, (_, i) => fileOf(`${name}${i}`, 2)));
    const bridge: [string, string] = ['a0::f1', 'b0::f1'];
    const { parts, cutCalls } = shard(files, graphOf([...ring('a', 6), ...ring('b', 6), bridge]), 2);
    expect(cutCalls).toBe(1);
    expect(parts.map(({ symbols }) => symbols)).toEqual([12, 12]);
  });

  it('have every file once, and no part is much larger than its share', () => {
    const shape = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 }),
      calls: fc.array(fc.tuple(fc.nat(39), fc.nat(39)), { maxLength: 80 }),
      count: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(shape, ({ sizes, calls, count }) => {
        const files = sizes.map((size, i) => fileOf(`p${i}`, size));
        const graph = graphOf(calls.map(([a, b]) => [`p${a}::f0`, `p${b}::f0`] as const));
        const found = shard(files, graph, count);
        expect(found.parts).toHaveLength(count);
        expect(found.parts.flatMap((part) => part.files).sort()).toEqual(
          files.map(({ path }) => path).sort(),
        );
        const share = sizes.reduce((sum, size) => sum + size, 0) / count;
        for (const { symbols } of found.parts) expect(symbols).toBeLessThanOrEqual(2 * share + 5);
        expect(shard([...files].reverse(), graph, count)).toEqual(found);
      }),
    );
  });

  it('are refused for no number', () => {
    for (const count of [0, 1.5, Number.NaN])
      expect(() => shard([], graphOf([]), count)).toThrow(/count must be/);
  });
});

it('who is affected: the nearest first, with the way there, no further than asked', () => {
  const graph = graphOf([
    ['a::f', 'b::g'],
    ['c::h', 'a::f'],
    ['d::i', 'c::h'],
  ]);
  const { affected, files } = impact(graph, ['b::g'], 2);
  expect(affected.map(({ address, distance }) => [address, distance])).toEqual([
    ['a::f', 1],
    ['c::h', 2],
  ]);
  expect(affected[1]?.path.map(({ callee }) => callee)).toEqual(['a::f', 'b::g']);
  expect(files).toEqual(['a', 'c']);
  expect(() => impact(graph, [])).toThrow(/addresses/);
});
