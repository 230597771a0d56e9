/** What the graph guard promises, on every database. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import { type GraphCall, GraphGuard } from '../../../ts/guard/graph.js';
import type { GraphPatch } from '../../../ts/guard/graph-patch.js';
import { Maasl, type MaaslOptions } from '../../../ts/guard/maasl.js';
import type { StompGuard } from '../../../ts/guard/stomp-guard.js';
import type { StompEvent } from '../../../ts/guard/telemetry.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { type AgentPatch, agentPatches, modelGraph } from './graph-model.js';
import { WrappedStorage } from './wrapped-storage.js';

export interface GraphBench {
  /** Connections made one after the other lead to the same database. */
  connect(): Promise<Storage>;
  close(): Promise<void>;
}

const as = (agentId: string, more: Partial<GraphCall> = {}): GraphCall => ({
  agentId,
  sessionId: `${agentId}-1`,
  ...more,
});
const code = (error: StompError) => error.code;
const impatient = { resource: { MERGE_META: { interactive_max_wait_ms: 0 } } };
const edge = { source: 'a', target: 'b', type: 'knows' };
const empty = { version: 0, pending: 0, nodes: [], edges: [] };

const small: GraphPatch = {
  nodesToAdd: [
    { id: 'a', type: 'Person', properties: { name: 'Ann', tags: ['x', { y: null }] } },
    { id: 'b' },
  ],
  edgesToAdd: [{ ...edge, properties: { since: 1999 } }],
  timestamp: 10,
};
const addNode = (id: string, timestamp = 10): GraphPatch => ({ nodesToAdd: [{ id }], timestamp });
const set = (value: number, timestamp: number): GraphPatch => ({
  propertiesToSet: [{ node: 'a', properties: { p: value } }],
  timestamp,
});

export function graphSuite(name: string, start: () => Promise<GraphBench>): void {
  describe(`graph guard, ${name}`, () => {
    let bench: GraphBench;
    let events: StompEvent[];
    const opened: Maasl[] = [];

    async function open(options: MaaslOptions = {}): Promise<{ maasl: Maasl; graph: GraphGuard }> {
      const database = options.database ?? (await bench.connect());
      const maasl = await Maasl.open({ sink: (event) => events.push(event), ...options, database });
      opened.push(maasl);
      return { maasl, graph: await GraphGuard.open(maasl) };
    }

    const hold = (maasl: Maasl, agentId: string): Promise<StompGuard> =>
      maasl.stompGuard([{ resourceClass: 'MERGE_META', identifier: 'main' }], {
        ...as(agentId),
        intent: 'think',
      });

    const tokenOf = ({ tokens }: StompGuard) => tokens.get('graph:main') ?? 0n;

    /** As when its process was stopped for longer than its lease. */
    async function takeAway(maasl: Maasl): Promise<void> {
      const [lock] = await maasl.locks.snapshot();
      const tokens = new Map([[lock?.resource_key ?? '', BigInt(lock?.fencing_token ?? 0)]]);
      const owner = {
        agentId: lock?.holder_agent_id ?? '',
        sessionId: lock?.holder_session_id ?? '',
      };
      await maasl.locks.resume(tokens, owner).release();
    }

    beforeEach(async () => {
      bench = await start();
      events = [];
    });
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((maasl) => maasl.close()));
      await bench.close();
    });

    describe('merging', () => {
      it('puts a patch into the graph, says what it did, and keeps it', async () => {
        const { graph } = await open();
        expect(await graph.read('main')).toEqual(empty);
        expect(await graph.merge('main', small, as('ann'))).toEqual({
          version: 1,
          pending: false,
          nodesAdded: 2,
          nodesRemoved: 0,
          edgesAdded: 1,
          edgesRemoved: 0,
          propertiesUpdated: 3,
          propertiesCleared: 0,
          conflicts: [],
          token: expect.any(BigInt),
        });
        const { graph: elsewhere } = await open();
        expect(await elsewhere.read('main')).toEqual({
          version: 1,
          pending: 0,
          nodes: [
            { id: 'a', type: 'Person', properties: { name: 'Ann', tags: ['x', { y: null }] } },
            { id: 'b', properties: {} },
          ],
          edges: [{ ...edge, properties: { since: 1999 } }],
        });
        expect(await elsewhere.read('other')).toEqual(empty);
      });

      it('raises the version by one for a patch that changes something, and not for one that does not', async () => {
        const { graph } = await open();
        const versionOf = async (patch: GraphPatch) => (await graph.merge('main', patch, as('ann'))).version;
        expect(await versionOf(small)).toBe(1);
        expect(await versionOf(small)).toBe(1);
        expect(await versionOf({ timestamp: 11 })).toBe(1);
        expect(await versionOf(set(1, 5))).toBe(2);
        expect(await versionOf({ nodesToAdd: [{ id: 'b', type: 'Dog' }], timestamp: 12 })).toBe(3);
        expect((await graph.read('main')).nodes[1]).toEqual({ id: 'b', type: 'Dog', properties: {} });
      });

      it('takes edges and properties along with a node, and does not bring them back with it', async () => {
        const { graph } = await open();
        await graph.merge('main', small, as('ann'));
        const removed = await graph.merge('main', { nodesToRemove: ['a'], timestamp: 20 }, as('bob'));
        expect(removed).toMatchObject({ nodesRemoved: 1, edgesRemoved: 1, propertiesCleared: 0, version: 2 });
        expect(await graph.read('main')).toMatchObject({ nodes: [{ id: 'b' }], edges: [] });
        await graph.merge('main', addNode('a', 30), as('cid'));
        const { nodes, edges } = await graph.read('main');
        expect(nodes).toEqual([
          { id: 'a', properties: {} },
          { id: 'b', properties: {} },
        ]);
        expect(edges).toEqual([]);
        const again = await graph.merge('main', { edgesToAdd: [edge], timestamp: 31 }, as('cid'));
        expect(again.edgesAdded).toBe(1);
        expect((await graph.read('main')).edges).toEqual([{ ...edge, properties: {} }]);
      });

      it('lets an edge wait for its ends', async () => {
        const { graph } = await open();
        const first = await graph.merge('main', { edgesToAdd: [edge], timestamp: 1 }, as('ann'));
        expect(first).toMatchObject({ edgesAdded: 0, version: 1 });
        await graph.merge('main', addNode('a', 2), as('ann'));
        expect((await graph.read('main')).edges).toEqual([]);
        expect(await graph.merge('main', addNode('b', 3), as('bob'))).toMatchObject({ edgesAdded: 1 });
        expect((await graph.read('main')).edges.length).toBe(1);
      });

      it('lets the later stamp win, whatever comes first, and says so', async () => {
        const { graph } = await open();
        await graph.merge('main', addNode('a', 1), as('ann'));
        await graph.merge('main', set(2, 20), as('ann'));
        const late = await graph.merge('main', set(1, 10), as('bob'));
        expect(late).toMatchObject({ propertiesUpdated: 0, version: 2 });
        expect(late.conflicts).toMatchObject([
          { winner: 'graph', patch: { value: 1 }, graph: { value: 2, agentId: 'ann', version: 2 } },
        ]);
        const blind = await graph.merge('main', { ...set(3, 30), baseVersion: 1 }, as('bob'));
        expect(blind.conflicts).toMatchObject([{ winner: 'patch', graph: { value: 2, version: 2 } }]);
        const seeing = await graph.merge('main', { ...set(4, 40), baseVersion: 3 }, as('bob'));
        expect(seeing).toMatchObject({ propertiesUpdated: 1, conflicts: [] });
        const clear = { propertiesToClear: [{ node: 'a', names: ['p'] }], timestamp: 50 };
        expect(await graph.merge('main', clear, as('ann'))).toMatchObject({ propertiesCleared: 1 });
        expect((await graph.read('main')).nodes).toEqual([{ id: 'a', properties: {} }]);
      });

      it('comes to the graph of the model, with several managers at it at once', async () => {
        const graphs = await Promise.all([1, 2, 3].map(async () => (await open()).graph));
        let runs = 0;
        await fc.assert(
          fc.asyncProperty(agentPatches, async (patches) => {
            const id = `run-${runs++}`;
            const merge = ({ agentId, patch }: AgentPatch, i: number) =>
              graphs[i % graphs.length]?.merge(id, patch, {
                ...as(agentId, { maxWaitMs: 10_000 }),
                sessionId: `${agentId}-${i}`,
              });
            const results = await Promise.all([...patches, ...patches.slice(0, 2)].map(merge));
            const { nodes, edges, version } = (await graphs[0]?.read(id)) ?? empty;
            expect({ nodes, edges }).toEqual(modelGraph(patches));
            expect(version).toBe(Math.max(0, ...results.map((result) => result?.version ?? 0)));
          }),
          { numRuns: 25 },
        );
      });

      it('counts every patch once when agents of one session merge at the same time', async () => {
        const { graph } = await open();
        const { graph: other } = await open();
        await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            [graph, other][i % 2]?.merge('main', addNode(`n${i}`), as('ann')),
          ),
        );
        const { version, nodes } = await graph.read('main');
        expect(version).toBe(20);
        expect(nodes.length).toBe(20);
      });

      it('does without leases where they are switched off, and keeps patches whole all the same', async () => {
        const [one, two] = await Promise.all([1, 2].map(() => open({ maasl: { enabled: false } })));
        await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            (i % 2 ? one : two)?.graph.merge('main', addNode(`n${i}`), as(`agent-${i}`)),
          ),
        );
        const { version, nodes } = (await one?.graph.read('main')) ?? empty;
        expect([version, nodes.length]).toEqual([10, 10]);
      });

      it('takes large patches and long names', async () => {
        const { graph } = await open();
        const long = (i: number) => `${i}`.padStart(1024, 'é');
        const nodesToAdd = Array.from({ length: 300 }, (_, i) => ({
          id: long(i),
          properties: { [long(i)]: i },
        }));
        const edgesToAdd = nodesToAdd.map(({ id }) => ({ source: long(0), target: id, type: long(1) }));
        const added = await graph.merge('main', { nodesToAdd, edgesToAdd, timestamp: 1 }, as('ann'));
        expect(added).toMatchObject({ nodesAdded: 300, edgesAdded: 300, propertiesUpdated: 300 });
        const removed = await graph.merge('main', { nodesToRemove: [long(0)], timestamp: 2 }, as('ann'));
        expect(removed).toMatchObject({ nodesRemoved: 1, edgesRemoved: 300 });
        const { nodes, edges } = await graph.read('main');
        expect([nodes.length, edges.length]).toEqual([299, 0]);
        expect(Object.keys(nodes[0]?.properties ?? {})).toEqual([nodes[0]?.id]);
      });

      it('gives names and values back as they came, whatever they are', async () => {
        const { graph } = await open();
        const odd = ['__proto__', 'constructor', 'toString', '\0', '\ud800', "'; --", '日本', '?'];
        const properties = Object.fromEntries(odd.map((one) => [one, { [one]: one }]));
        await graph.merge(
          'main',
          { nodesToAdd: odd.map((id) => ({ id, properties })), timestamp: -0.1 },
          as('a'),
        );
        const { nodes } = await graph.read('main');
        expect(nodes.map(({ id }) => id)).toEqual([...odd].sort());
        for (const node of nodes) {
          expect(Object.keys(node.properties).sort()).toEqual([...odd].sort());
          expect(JSON.stringify(node.properties)).toContain('"__proto__":{"__proto__":"__proto__"}');
          expect(Object.getPrototypeOf(node.properties)).toBe(Object.prototype);
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      });

      it('compares timestamps to the last bit', async () => {
        const { graph } = await open();
        await graph.merge('main', addNode('a', -Number.MAX_VALUE), as('ann'));
        await graph.merge('main', set(2, 0.1 + 0.2), as('ann'));
        await graph.merge('main', set(1, 0.3), as('bob'));
        expect((await graph.read('main')).nodes[0]?.properties).toEqual({ p: 2 });
      });
    });

    describe('a patch that fails', () => {
      it('leaves the graph as it was, at whichever statement the database fails', async () => {
        const storage = new WrappedStorage(await bench.connect());
        const { graph } = await open({ database: storage });
        await graph.merge('main', small, as('ann'));
        const before = await graph.read('main');
        const patch: GraphPatch = {
          nodesToAdd: [{ id: 'c' }],
          nodesToRemove: ['b'],
          propertiesToSet: [{ node: 'a', properties: { p: 1 } }],
          timestamp: 20,
        };
        let failAt = 0;
        let failed = false;
        const attempt = () => {
          let count = 0;
          failed = false;
          storage.beforeStatement = ({ sql }) => {
            if (!/stomp_(graph|fence)/.test(sql) || count++ !== failAt) return;
            failed = true;
            throw new Error('The disk is gone.');
          };
          return graph.merge('main', patch, as('bob')).catch((error: StompError) => error);
        };
        for (let result = await attempt(); failed; result = await attempt()) {
          expect(result).toMatchObject({ code: 'DB_BUSY' });
          expect(await graph.read('main')).toEqual(before);
          failAt++;
        }
        expect(failAt).toBeGreaterThan(8);
        expect(await graph.read('main')).toMatchObject({ version: 2, nodes: [{ id: 'a' }, { id: 'c' }] });
      });

      it('leaves the graph as it was when its last item is bad', async () => {
        const { graph } = await open();
        const patch = { ...small, propertiesToClear: [{ node: 'a', names: [''] }] };
        expect(await graph.merge('main', patch, as('ann')).catch(code)).toBe('INVALID_REQUEST');
        expect(await graph.read('main')).toEqual(empty);
      });

      it('is refused before it waits for anything, with its graph and its author', async () => {
        const { graph, maasl } = await open();
        const held = await hold(maasl, 'ann');
        const merge = (patch: unknown, call: unknown = as('bob'), id: unknown = 'main') =>
          graph.merge(id as string, patch as GraphPatch, call as GraphCall).then(() => 'ok', code);
        const nothing = { timestamp: 1 };
        const began = performance.now();
        expect(await merge({ timestamp: Number.NaN })).toBe('INVALID_REQUEST');
        for (const id of ['', 'x'.repeat(257), 'a\0', '\ud800', 7, null]) {
          expect([id, await merge(nothing, as('bob'), id)]).toEqual([id, 'INVALID_REQUEST']);
          expect(await graph.read(id as string).catch(code)).toBe('INVALID_REQUEST');
        }
        for (const call of [null, as(''), as('\ud800'), { agentId: 'bob' }]) {
          expect([call, await merge(nothing, call)]).toEqual([call, 'INVALID_REQUEST']);
        }
        expect(await merge(nothing, { ...as('bob'), intent: 'x' })).toBe('UNSUPPORTED_FIELD');
        expect(await graph.read('main', {} as never).catch(code)).toBe('INVALID_REQUEST');
        expect(performance.now() - began).toBeLessThan(400);
        expect(await graph.read('main')).toEqual(empty);
        await held.release();
      });
    });

    describe('while somebody holds the graph', () => {
      it('keeps a patch rather than refuse it, and merges it when the graph is read once it is free', async () => {
        const { graph, maasl } = await open({ maasl: impatient });
        const held = await hold(maasl, 'ann');
        const result = await graph.merge('main', small, as('bob'));
        expect(result).toMatchObject({ pending: true, nodesAdded: 0, conflicts: [], version: 0 });
        expect(await graph.read('main')).toEqual({ ...empty, pending: 1 });
        await held.release();
        expect(await graph.read('main')).toMatchObject({
          version: 1,
          pending: 0,
          nodes: [{ id: 'a' }, { id: 'b' }],
        });
        expect(await maasl.locks.snapshot()).toEqual([]);
      });

      it('refuses it where the configuration says so', async () => {
        const { graph, maasl } = await open({
          maasl: { resource: { MERGE_META: { interactive_max_wait_ms: 0, strategy: 'fail_closed' } } },
        });
        const held = await hold(maasl, 'ann');
        expect(await graph.merge('main', small, as('bob')).catch(code)).toBe('RESOURCE_BUSY');
        await held.release();
        expect(await graph.read('main')).toEqual(empty);
      });

      it('merges for its holder, and with that what waits', async () => {
        const { graph, maasl } = await open({ maasl: impatient });
        const held = await hold(maasl, 'ann');
        const call = as('ann', { token: tokenOf(held) });
        await graph.merge('main', addNode('a'), call);
        await graph.merge('main', addNode('b'), as('bob'));
        expect((await graph.read('main', { agentId: 'ann', sessionId: 'ann-1' })).pending).toBe(0);
        await graph.merge('main', addNode('c'), as('cid'));
        const mine = await graph.merge('main', addNode('d'), call);
        expect(mine).toMatchObject({ nodesAdded: 1, version: 4, token: tokenOf(held) });
        expect((await graph.read('main')).nodes.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
        await held.release();
      });

      it('merges what waits with the next patch, whoever brings it, in whichever process', async () => {
        const { graph, maasl } = await open({ maasl: impatient });
        const { graph: other } = await open();
        const held = await hold(maasl, 'ann');
        for (let i = 0; i < 70; i++) await graph.merge('main', addNode(`n${i}`), as('bob'));
        await held.release();
        expect(await other.merge('main', addNode('last'), as('cid'))).toMatchObject({
          nodesAdded: 1,
          version: 71,
        });
        expect((await other.read('main')).nodes.length).toBe(71);
      });

      it('lets others have their turn between large patches that wait, so that the lease lives on', async () => {
        let turn = 0;
        const turns: number[] = [];
        const { graph } = await open({ sink: ({ event }) => event === 'graph_merge' && turns.push(turn) });
        const { graph: other, maasl } = await open({ maasl: impatient });
        const held = await hold(maasl, 'ann');
        for (const id of ['a', 'b', 'c']) {
          const nodesToAdd = [{ id, properties: { p: 'x'.repeat(200_000) } }];
          await other.merge('main', { nodesToAdd, timestamp: 1 }, as('bob'));
        }
        await held.release();
        const count = (): void => {
          if (++turn > 0) setImmediate(count);
        };
        count();
        expect((await graph.read('main')).pending).toBe(0);
        turn = Number.NEGATIVE_INFINITY;
        expect(new Set(turns).size).toBe(3);
      });

      it('gives a patch that waits the place of its own stamp', async () => {
        const { graph, maasl } = await open({ maasl: impatient });
        await graph.merge('main', addNode('a', 1), as('ann'));
        const held = await hold(maasl, 'ann');
        await graph.merge('main', set(1, 5), as('bob'));
        await graph.merge('main', set(1, 5), as('bob'));
        await graph.merge('main', set(3, 30), as('cid'));
        expect((await graph.read('main')).pending).toBe(2);
        const mine = await graph.merge('main', { ...set(2, 20), baseVersion: 1 }, as('ann'));
        expect(mine.conflicts).toMatchObject([{ winner: 'graph', graph: { agentId: 'cid', timestamp: 30 } }]);
        await held.release();
        expect((await graph.read('main')).nodes[0]?.properties).toEqual({ p: 3 });
      });

      it('waits for it as long as the caller says', async () => {
        const { graph, maasl } = await open();
        const held = await hold(maasl, 'ann');
        const merging = graph.merge('main', small, as('bob', { maxWaitMs: 10_000 }));
        await held.release();
        expect(await merging).toMatchObject({ pending: false, version: 1 });
      });
    });

    describe('a holder that has lost the graph', () => {
      it('cannot merge: not even when it is stopped right before its transaction', async () => {
        const storage = new WrappedStorage(await bench.connect());
        const other = await open();
        const { graph } = await open({ database: storage });
        let taken = false;
        storage.beforeStatement = ({ sql }) => {
          // The statement that grants: what follows is the merge.
          if (!sql.includes('INSERT INTO stomp_locks') || taken) return;
          storage.beforeWrite = async () => {
            storage.beforeWrite = async () => undefined;
            taken = true;
            await takeAway(other.maasl);
            await other.graph.merge('main', addNode('b'), as('bob'));
          };
        };
        const late = await graph.merge('main', addNode('a'), as('ann')).catch((error: StompError) => error);
        expect(taken).toBe(true);
        expect(late).toMatchObject({ code: 'FENCED', fields: { resource_key: 'graph:main' } });
        expect((await other.graph.read('main')).nodes).toEqual([{ id: 'b', properties: {} }]);
        expect(events).toContainEqual(
          expect.objectContaining({ event: 'fenced', agent_id: 'ann', resource_key: 'graph:main' }),
        );
        expect((await graph.merge('main', addNode('a'), as('ann'))).version).toBe(2);
      });

      it('is refused by its token, while another has the graph and after, and nothing of it waits', async () => {
        const { graph, maasl } = await open({ maasl: impatient });
        const held = await hold(maasl, 'ann');
        const call = as('ann', { token: tokenOf(held) });
        await takeAway(maasl);
        const other = await hold(maasl, 'bob');
        expect(await graph.merge('main', small, call).catch(code)).toBe('FENCED');
        await other.release();
        expect(await graph.merge('main', small, call).catch(code)).toBe('FENCED');
        expect(await graph.read('main')).toEqual(empty);
        expect(events.filter(({ event }) => event === 'fenced').length).toBe(2);
        expect(await held.release().catch(code)).toBe('LEASE_LOST');
      });
    });

    it('needs a place to keep graphs in, and does with locks of one process', async () => {
      const bare = await Maasl.open();
      await expect(GraphGuard.open(bare)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
      await bare.close();
      const { graph } = await open({ locks: 'memory' });
      expect(await graph.merge('main', small, as('ann'))).toMatchObject({ version: 1 });
    });

    it('tells every merge, with whose patch it was and who merged it', async () => {
      const { graph, maasl } = await open({ maasl: impatient });
      await graph.merge('main', small, as('ann'));
      const held = await hold(maasl, 'ann');
      await graph.merge('main', set(1, 5), as('bob'));
      await held.release();
      await graph.read('main');
      const merges = events.filter(({ event }) => event === 'graph_merge');
      expect(merges.map(({ timestamp: _, ...event }) => event)).toEqual([
        {
          event: 'graph_merge',
          agent_id: 'ann',
          session_id: 'ann-1',
          resource_key: 'graph:main',
          nodes_added: 2,
          nodes_removed: 0,
          edges_added: 1,
          edges_removed: 0,
          properties_updated: 3,
          properties_cleared: 0,
          conflicts: 0,
          pending: false,
          version: 1,
          duration_ms: expect.any(Number),
          outcome: 'ok',
        },
        expect.objectContaining({ agent_id: 'bob', pending: true, properties_updated: 0, outcome: 'ok' }),
        expect.objectContaining({
          agent_id: 'bob',
          session_id: 'bob-1',
          pending: false,
          properties_updated: 1,
          version: 2,
          merged_by_agent_id: 'graph-reader',
        }),
      ]);
    });
  });
}
