import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentOf } from '../../../ts/guard/graph-content.js';
import { type Merged, mergePatch } from '../../../ts/guard/graph-merge.js';
import { type GraphPatch, stampedWrites } from '../../../ts/guard/graph-patch.js';
import { GraphState, type StampedWrites } from '../../../ts/guard/graph-state.js';
import { agentPatches, modelGraph } from './graph-model.js';

function mergeAll(all: readonly StampedWrites[], state = new GraphState()): Merged[] {
  return all.map((writes, i) => mergePatch(state, writes, i + 1));
}

function graphOf(all: readonly StampedWrites[]) {
  const state = new GraphState();
  mergeAll(all, state);
  return contentOf(state);
}

/** The same writes in as many patches as there are numbers of parts. */
function regrouped(writes: StampedWrites, parts: number): StampedWrites[] {
  return Array.from({ length: parts }, (_, part) => ({
    ...writes,
    writes: writes.writes.filter((_write, i) => i % parts === part),
  }));
}

describe('merged patches', () => {
  it('come to the graph of the model, in any order, in any grouping, however often each comes', () => {
    const deliveries = agentPatches.chain((patches) => {
      const all = patches.flatMap((one, i) => [i, ...(i % 2 === 0 ? [i] : [])].map(() => one));
      return fc.record({
        patches: fc.constant(patches),
        delivered: fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }),
        parts: fc.integer({ min: 1, max: 3 }),
      });
    });
    fc.assert(
      fc.property(deliveries, ({ patches, delivered, parts }) => {
        const pieces = delivered.map(({ agentId, patch }) => stampedWrites(patch, agentId));
        const regroupedPieces = pieces.flatMap((writes, i) => regrouped(writes, i % 2 === 0 ? parts : 1));
        const expected = modelGraph(patches);
        expect(graphOf(pieces)).toEqual(expected);
        expect(graphOf(regroupedPieces)).toEqual(expected);
      }),
      { numRuns: 1500 },
    );
  });

  it('keep nothing of what is void: in any order they leave the same behind', () => {
    const kept = (all: readonly StampedWrites[]) => {
      const state = new GraphState();
      mergeAll(all, state);
      return Array.from(state.elements(), ({ element, registers }) =>
        Array.from(registers.values(), ({ version: _, ...register }) => JSON.stringify([element, register])),
      )
        .flat()
        .sort();
    };
    fc.assert(
      fc.property(agentPatches, (patches) => {
        const all = patches.map(({ agentId, patch }) => stampedWrites(patch, agentId));
        expect(kept([...all].reverse())).toEqual(kept(all));
      }),
      { numRuns: 500 },
    );
  });

  it('change nothing when they come again, and say no more', () => {
    fc.assert(
      fc.property(agentPatches, (patches) => {
        const state = new GraphState();
        const all = patches.map(({ agentId, patch }) => stampedWrites(patch, agentId));
        mergeAll(all, state);
        for (const again of mergeAll(all, state)) expect(again.touched).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('count how what is seen has changed', () => {
    fc.assert(
      fc.property(agentPatches, (patches) => {
        const state = new GraphState();
        for (const { agentId, patch } of patches) {
          const before = contentOf(state);
          const { counts } = mergePatch(state, stampedWrites(patch, agentId), 1);
          const after = contentOf(state);
          expect(after.nodes.length - before.nodes.length).toBe(counts.nodesAdded - counts.nodesRemoved);
          expect(after.edges.length - before.edges.length).toBe(counts.edgesAdded - counts.edgesRemoved);
          const same = JSON.stringify(before) === JSON.stringify(after);
          expect(Object.values(counts).every((count) => count === 0)).toBe(same);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('conflicts', () => {
  const state = () => {
    const started = new GraphState();
    const first: GraphPatch = {
      nodesToAdd: [{ id: 'a', type: 'T', properties: { p: 1 } }, { id: 'b' }],
      edgesToAdd: [{ source: 'a', target: 'b', type: 'knows' }],
      timestamp: 10,
    };
    mergePatch(started, stampedWrites(first, 'ann'), 1);
    return started;
  };
  const conflicts = (patch: GraphPatch, into = state()) =>
    mergePatch(into, stampedWrites(patch, 'bob'), 2).conflicts;
  const setP = (value: number, more: Partial<GraphPatch> = {}): GraphPatch => ({
    propertiesToSet: [{ node: 'a', properties: { p: value } }],
    timestamp: 20,
    ...more,
  });

  it('are told of writes that are late, with who was later', () => {
    expect(conflicts(setP(2, { timestamp: 5 }))).toEqual([
      {
        winner: 'graph',
        patch: { kind: 'property', action: 'set', node: 'a', property: 'p', value: 2 },
        graph: {
          kind: 'property',
          action: 'set',
          node: 'a',
          property: 'p',
          value: 1,
          agentId: 'ann',
          timestamp: 10,
          version: 1,
        },
      },
    ]);
  });

  it('are none where both say the same, or where the author had seen what it overwrites', () => {
    expect(conflicts(setP(1, { timestamp: 5 }))).toEqual([]);
    expect(conflicts(setP(2))).toEqual([]);
    expect(conflicts(setP(2, { baseVersion: 1 }))).toEqual([]);
  });

  it('are told of what has come since the base version, also where the patch wins', () => {
    const [conflict, ...others] = conflicts(setP(2, { baseVersion: 0 }));
    expect(conflict).toMatchObject({ winner: 'patch', graph: { value: 1, agentId: 'ann', version: 1 } });
    expect(others).toEqual([]);
  });

  it('are told of what a removal takes along unseen', () => {
    const found = conflicts({ nodesToRemove: ['a'], timestamp: 20, baseVersion: 0 });
    expect(found.map(({ winner, graph: { kind, action } }) => [winner, kind, action])).toEqual([
      ['patch', 'node', 'add'],
      ['patch', 'type', 'set'],
      ['patch', 'property', 'set'],
      ['patch', 'edge', 'add'],
    ]);
    expect(conflicts({ nodesToRemove: ['a'], timestamp: 20, baseVersion: 1 })).toEqual([]);
  });

  it('are told of a removal that loses to a later addition', () => {
    const [conflict] = conflicts({ nodesToRemove: ['a'], timestamp: 5 });
    expect(conflict).toMatchObject({
      winner: 'graph',
      patch: { kind: 'node', action: 'remove', node: 'a' },
      graph: { kind: 'node', action: 'add', node: 'a', agentId: 'ann' },
    });
  });

  it('are told of an edge whose end was removed, by that removal', () => {
    const into = state();
    mergePatch(into, stampedWrites({ nodesToRemove: ['b'], timestamp: 30 }, 'cid'), 2);
    const edge = { source: 'a', target: 'b', type: 'likes' };
    expect(conflicts({ edgesToAdd: [edge], timestamp: 20 }, into)).toEqual([
      {
        winner: 'graph',
        patch: { kind: 'edge', action: 'add', edge },
        graph: { kind: 'node', action: 'remove', node: 'b', agentId: 'cid', timestamp: 30, version: 2 },
      },
    ]);
    const [later] = conflicts({ edgesToAdd: [edge], timestamp: 40, baseVersion: 1 }, into);
    expect(later).toMatchObject({ winner: 'graph', graph: { action: 'remove', node: 'b' } });
    const [back] = conflicts(
      { nodesToAdd: [{ id: 'b' }], edgesToAdd: [edge], timestamp: 50, baseVersion: 1 },
      into,
    );
    expect(back).toMatchObject({ winner: 'patch', patch: { kind: 'node' }, graph: { action: 'remove' } });
  });

  it('are none of a patch with itself, also when it comes again', () => {
    const both: GraphPatch = { nodesToAdd: [{ id: 'z' }], nodesToRemove: ['z'], timestamp: 20 };
    const into = state();
    expect(conflicts(both, into)).toEqual([]);
    expect(conflicts(both, into)).toEqual([]);
  });
});
