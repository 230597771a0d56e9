/** What a graph is by its rules, said anew: from all patches at once, without any state. And patches to try it with. */
import fc from 'fast-check';
import type { GraphPatch } from '../../../ts/guard/graph-patch.js';

export interface AgentPatch {
  agentId: string;
  patch: GraphPatch;
}

interface Event {
  stamp: readonly [number, string];
  /** `n:a`, or `e:a>b:knows`. */
  on: string;
  what: 'add' | 'remove' | 'type' | 'set' | 'clear';
  name: string;
  value: string;
}

export interface ModelGraph {
  nodes: unknown[];
  edges: unknown[];
}

interface Edge {
  source: string;
  target: string;
  type: string;
}

const nameOf = ({ source, target, type }: Edge) => `e:${source}>${target}:${type}`;

function eventsOf({ agentId, patch }: AgentPatch): Event[] {
  const stamp = [patch.timestamp, agentId] as const;
  const event = (on: string, what: Event['what'], name = '', value: unknown = ''): Event => ({
    stamp,
    on,
    what,
    name,
    value: JSON.stringify(value),
  });
  const set = (on: string, properties: object = {}) =>
    Object.entries(properties).map(([name, value]) => event(on, 'set', name, value));
  const on = (item: object) => ('node' in item ? `n:${item.node}` : nameOf((item as { edge: Edge }).edge));
  return [
    ...(patch.nodesToAdd ?? []).flatMap(({ id, type, properties }) => [
      event(`n:${id}`, 'add'),
      ...(type === undefined ? [] : [event(`n:${id}`, 'type', '', type)]),
      ...set(`n:${id}`, properties),
    ]),
    ...(patch.edgesToAdd ?? []).flatMap((edge) => [
      event(nameOf(edge), 'add'),
      ...set(nameOf(edge), edge.properties),
    ]),
    ...(patch.nodesToRemove ?? []).map((id) => event(`n:${id}`, 'remove')),
    ...(patch.edgesToRemove ?? []).map((edge) => event(nameOf(edge), 'remove')),
    ...(patch.propertiesToSet ?? []).flatMap((item) => set(on(item), item.properties)),
    ...(patch.propertiesToClear ?? []).flatMap((item) =>
      item.names.map((name) => event(on(item), 'clear', name)),
    ),
  ];
}

const stampOrder = (a: Event, b: Event) =>
  a.stamp[0] - b.stamp[0] || (a.stamp[1] < b.stamp[1] ? -1 : Number(a.stamp[1] > b.stamp[1]));

function endsOf(on: string): string[] {
  const ends = /^e:(.)>(.):/.exec(on);
  return ends ? [`n:${ends[1]}`, `n:${ends[2]}`] : [];
}

/** Ids of nodes are one letter. */
export function modelGraph(patches: readonly AgentPatch[]): ModelGraph {
  const all = patches.flatMap(eventsOf);
  const removals = all.filter(({ what }) => what === 'remove');
  const alive = all.filter(
    (event) =>
      event.what !== 'remove' &&
      !removals.some(
        (removal) => [event.on, ...endsOf(event.on)].includes(removal.on) && stampOrder(event, removal) <= 0,
      ),
  );
  const isThere = (on: string) => alive.some((event) => event.on === on && event.what === 'add');
  const seen = [...new Set(alive.map(({ on }) => on))]
    .filter((on) => [on, ...endsOf(on)].every(isThere))
    .sort();
  const last = (on: string, whats: string[], name: string) =>
    alive
      .filter((event) => event.on === on && whats.includes(event.what) && event.name === name)
      .sort(
        (a, b) =>
          stampOrder(a, b) ||
          Number(a.what === 'clear') - Number(b.what === 'clear') ||
          (a.value < b.value ? -1 : 1),
      )
      .at(-1);
  const propertiesOf = (on: string) => {
    const names = [...new Set(alive.filter((event) => event.on === on).map(({ name }) => name))].sort();
    const values = names.map((name) => [name, last(on, ['set', 'clear'], name)] as const);
    return Object.fromEntries(
      values.flatMap(([name, event]) => (event?.what === 'set' ? [[name, JSON.parse(event.value)]] : [])),
    );
  };
  return {
    nodes: seen
      .filter((on) => on.startsWith('n:'))
      .map((on) => {
        const type = last(on, ['type'], '');
        return {
          id: on.slice(2),
          ...(type ? { type: JSON.parse(type.value) } : {}),
          properties: propertiesOf(on),
        };
      }),
    edges: seen
      .filter((on) => on.startsWith('e:'))
      .map((on) => {
        const [, source, target, type] = /^e:(.)>(.):(.*)$/.exec(on) ?? [];
        return { source, target, type, properties: propertiesOf(on) };
      }),
  };
}

// Few names and few times, so that patches meet.
const id = fc.constantFrom('a', 'b', 'c');
const edge = fc.record({ source: id, target: id, type: fc.constantFrom('knows', 'likes') });
const value = fc.constantFrom<null | boolean | number | string | number[]>(null, true, 1, 10, 9, 'x', [1, 2]);
const properties = fc.dictionary(fc.constantFrom('p', 'q', 'r'), value, { maxKeys: 2 });
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });
const element = fc.oneof(fc.record({ node: id }), fc.record({ edge }));
const toSet = fc.tuple(element, properties).map(([on, own]) => ({ ...on, properties: own }));
const toClear = fc
  .tuple(element, fc.array(fc.constantFrom('p', 'q'), { maxLength: 2 }))
  .map(([on, names]) => ({ ...on, names }));

const patch: fc.Arbitrary<GraphPatch> = fc.record(
  {
    nodesToAdd: list(
      fc.record({ id, type: fc.constantFrom('T', 'U'), properties }, { requiredKeys: ['id'] }),
    ),
    edgesToAdd: list(fc.tuple(edge, properties).map(([ends, own]) => ({ ...ends, properties: own }))),
    nodesToRemove: list(id),
    edgesToRemove: list(edge),
    propertiesToSet: list(toSet),
    propertiesToClear: list(toClear),
    timestamp: fc.nat(6),
  },
  { requiredKeys: ['timestamp'] },
);

/** Patches of several agents, some with the same stamp. */
export const agentPatches = fc.array(fc.record({ agentId: fc.constantFrom('ann', 'bob', 'Cid'), patch }), {
  maxLength: 8,
});
