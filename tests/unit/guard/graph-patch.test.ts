import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, JsonBudget } from '../../../ts/guard/canonical-json.js';
import { type GraphPatch, stampedWrites } from '../../../ts/guard/graph-patch.js';

const edge = { source: 'a', target: 'b', type: 'knows' };

function codeOf(patch: unknown): string {
  try {
    stampedWrites(patch as GraphPatch, 'ann');
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

function refused(patches: readonly unknown[], expected = 'INVALID_REQUEST'): void {
  for (const patch of patches) expect([patch, codeOf(patch)]).toEqual([patch, expected]);
}

const withProperty = (value: unknown) => ({
  nodesToAdd: [{ id: 'a', properties: { value } }],
  timestamp: 1,
});

describe('a patch', () => {
  it('needs a timestamp that is a number, and versions that can be', () => {
    refused([undefined, null, [], 'x', {}, { timestamp: '1' }, { timestamp: Number.NaN }]);
    refused([{ timestamp: Number.POSITIVE_INFINITY }, { timestamp: 1n }]);
    refused([-1, 1.5, '1', null].map((baseVersion) => ({ timestamp: 1, baseVersion })));
    expect(codeOf({ timestamp: -1.5, baseVersion: 0 })).toBe('ok');
  });

  it('has lists of what they are lists of', () => {
    const lists = [
      { nodesToAdd: {} },
      { nodesToAdd: 'a' },
      { nodesToAdd: ['a'] },
      { nodesToAdd: Array(1) },
      { nodesToAdd: [{}] },
      { edgesToAdd: [{ source: 'a', target: 'b' }] },
      { nodesToRemove: [{ id: 'a' }] },
      { edgesToRemove: ['a'] },
      { propertiesToSet: [{ node: 'a' }] },
      { propertiesToSet: [{ properties: {} }] },
      { propertiesToSet: [{ node: 'a', edge, properties: {} }] },
      { propertiesToSet: [{ edge: 'a', properties: {} }] },
      { propertiesToClear: [{ node: 'a' }] },
      { propertiesToClear: [{ node: 'a', names: 'p' }] },
      { propertiesToClear: [{ node: 'a', names: [1] }] },
    ];
    refused(lists.map((list) => ({ timestamp: 1, ...list })));
  });

  it('has names that are neither empty nor too long', () => {
    const names = ['', 'x'.repeat(1025), 7, null];
    refused(names.map((id) => ({ timestamp: 1, nodesToAdd: [{ id }] })));
    refused(names.map((type) => ({ timestamp: 1, nodesToAdd: [{ id: 'a', type }] })));
    refused(names.map((target) => ({ timestamp: 1, edgesToAdd: [{ ...edge, target }] })));
    refused(
      ['', 'x'.repeat(1025)].map((name) => ({
        timestamp: 1,
        nodesToAdd: [{ id: 'a', properties: { [name]: 1 } }],
      })),
    );
    expect(codeOf({ timestamp: 1, nodesToAdd: [{ id: 'x'.repeat(1024) }] })).toBe('ok');
  });

  it('has no fields that are not known', () => {
    const patches = [
      { timestamp: 1, nodesToAd: [] },
      { timestamp: 1, nodesToAdd: [{ id: 'a', label: 'x' }] },
      { timestamp: 1, edgesToRemove: [{ ...edge, properties: {} }] },
      { timestamp: 1, propertiesToClear: [{ node: 'a', names: [], properties: {} }] },
    ];
    refused(patches, 'UNSUPPORTED_FIELD');
  });

  it('has values that JSON can say', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    refused([undefined, () => 1, Symbol('x'), Number.NaN, 1n, cycle].map(withProperty));
    refused([new Date(), new Map(), /x/, [undefined], Array(2), { x: undefined }].map(withProperty));
    refused([{ timestamp: 1, nodesToAdd: [{ id: 'a', properties: [] }] }]);
    expect(() => stampedWrites(withProperty(1n) as never, 'ann')).toThrow(
      /nodesToAdd\[0\]\.properties\.value must be a JSON value.*not 1\./,
    );
  });

  it('makes so many changes, and of so much text, and no more', () => {
    const nodes = (count: number) => ({
      timestamp: 1,
      nodesToAdd: Array.from({ length: count }, (_, i) => ({ id: `${i}` })),
    });
    expect(codeOf(nodes(10_000))).toBe('ok');
    refused([nodes(10_001)]);
    const properties = Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`p${j}`, j]));
    const items = Array.from({ length: 101 }, (_, i) => ({ node: `n${i}`, properties }));
    refused([{ timestamp: 1, propertiesToSet: items }]);
    expect(codeOf(withProperty('x'.repeat(2 ** 23)))).toBe('PAYLOAD_TOO_LARGE');
    let shared: unknown = [];
    for (let i = 0; i < 50; i++) shared = [shared, shared];
    expect(codeOf(withProperty(shared))).toBe('PAYLOAD_TOO_LARGE');
  });

  it('is taken as it was when it was handed over', () => {
    const tags = ['x'];
    const taken = stampedWrites({ nodesToAdd: [{ id: 'a', properties: { tags } }], timestamp: -0 }, 'ann');
    tags.push('y');
    expect(taken.writes[1]?.value).toBe('["x"]');
    expect(Object.is(taken.timestamp, 0)).toBe(true);
  });
});

describe('canonical JSON', () => {
  const spell = (value: unknown) => canonicalJson('value', value, new JsonBudget('A patch', 1e6));

  it('says what was given', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(JSON.parse(spell(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('is one text for equal values', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(spell(Object.fromEntries(Object.entries(value).reverse()))).toBe(spell(value));
      }),
    );
  });
});
