/** What an agent wants changed in a knowledge graph, checked and taken apart into writes. Pure. */
import { checkFields, checkInteger, refuse } from '../arguments.js';
import { StompError } from '../errors.js';
import { canonicalJson, isPlainObject, JsonBudget, type JsonValue } from './canonical-json.js';
import type { EdgeKey } from './graph-conflicts.js';
import {
  compareValues,
  type Element,
  type Facet,
  facets,
  keyOf,
  type StampedWrites,
  type Write,
} from './graph-state.js';

/** Values of a node or an edge, by name. */
export type Properties = Readonly<Record<string, JsonValue>>;

/** Adding one that is there keeps its other properties, and its type unless one is given. */
export interface NodeToAdd {
  id: string;
  type?: string;
  properties?: Properties;
}

/** It may come before its ends: it is seen once both are there. */
export interface EdgeToAdd extends EdgeKey {
  properties?: Properties;
}

/** A node by its id, or an edge. */
export type GraphElement = { node: string } | { edge: EdgeKey };

/** All lists may be left out. All of it bears one timestamp: what it both adds and removes is removed. */
export interface GraphPatch {
  nodesToAdd?: readonly NodeToAdd[];
  edgesToAdd?: readonly EdgeToAdd[];
  /** Ids. Their edges and properties go with them. */
  nodesToRemove?: readonly string[];
  edgesToRemove?: readonly EdgeKey[];
  propertiesToSet?: readonly (GraphElement & { properties: Properties })[];
  propertiesToClear?: readonly (GraphElement & { names: readonly string[] })[];
  /** The version of the graph that its author had read: what has changed since is told as a conflict. */
  baseVersion?: number;
  /** Later ones win, whenever they arrive; milliseconds since 1970, or any count that all agents share. */
  timestamp: number;
}

const patchFields = [
  'nodesToAdd',
  'edgesToAdd',
  'nodesToRemove',
  'edgesToRemove',
  'propertiesToSet',
  'propertiesToClear',
  'baseVersion',
  'timestamp',
];
const edgeFields = ['source', 'target', 'type'];
const maxNameLength = 1024;
const maxChanges = 10_000;
const maxPatchCharacters = 8 * 2 ** 20;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PAYLOAD_TOO_LARGE */
export function stampedWrites(patch: GraphPatch, agentId: string): StampedWrites {
  checkFields('patch', patch, patchFields);
  const { timestamp, baseVersion } = patch;
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp)) {
    refuse('timestamp', timestamp, 'a finite number');
  }
  const list = new WriteList();
  each('nodesToAdd', patch.nodesToAdd, (at, node) => list.addNode(at, node));
  each('edgesToAdd', patch.edgesToAdd, (at, edge) => list.addEdge(at, edge));
  each('nodesToRemove', patch.nodesToRemove, (at, id) => list.remove(['node', nameOf(at, id)]));
  each('edgesToRemove', patch.edgesToRemove, (at, edge) => list.remove(edgeOf(at, edge)));
  each('propertiesToSet', patch.propertiesToSet, (at, item) => list.set(at, item));
  each('propertiesToClear', patch.propertiesToClear, (at, item) => list.clear(at, item));
  // 0 and -0 are one time.
  const writes = { timestamp: timestamp + 0, agentId, writes: list.writes() };
  if (baseVersion === undefined) return writes;
  const version = { min: 0, max: Number.MAX_SAFE_INTEGER };
  return { ...writes, baseVersion: checkInteger('baseVersion', baseVersion, 0, version) };
}

class WriteList {
  readonly #writes = new Map<string, Write>();
  readonly #budget = new JsonBudget('A patch', maxPatchCharacters);

  writes(): Write[] {
    return [...this.#writes.values()];
  }

  addNode(at: string, node: NodeToAdd): void {
    checkFields(at, node, ['id', 'type', 'properties']);
    const element: Element = ['node', nameOf(`${at}.id`, node.id)];
    this.#put(element, facets.add, 'true');
    if (node.type !== undefined) {
      this.#put(element, facets.type, JSON.stringify(nameOf(`${at}.type`, node.type)));
    }
    if (node.properties !== undefined) this.#setAll(at, element, node.properties);
  }

  addEdge(at: string, edge: EdgeToAdd): void {
    const element = edgeOf(at, edge, ['properties']);
    this.#put(element, facets.add, 'true');
    if (edge.properties !== undefined) this.#setAll(at, element, edge.properties);
  }

  remove(element: Element): void {
    this.#put(element, facets.remove, 'true');
  }

  set(at: string, item: GraphElement & { properties: Properties }): void {
    this.#setAll(at, elementOf(at, item, 'properties'), item.properties);
  }

  clear(at: string, item: GraphElement & { names: readonly string[] }): void {
    const element = elementOf(at, item, 'names');
    if (item.names === undefined) refuse(`${at}.names`, item.names, 'a list');
    each(`${at}.names`, item.names, (where, name) => {
      this.#put(element, ['property', nameOf(where, name)], null);
    });
  }

  #setAll(at: string, element: Element, properties: unknown): void {
    if (!isPlainObject(properties)) refuse(`${at}.properties`, properties, 'an object');
    for (const [name, value] of Object.entries(properties)) {
      const field = `${at}.properties.${name.slice(0, 80)}`;
      const facet: Facet = ['property', nameOf(field, name)];
      this.#put(element, facet, canonicalJson(field, value, this.#budget));
    }
  }

  /** Of two writes to one thing the one that wins, as between patches. */
  #put(element: Element, facet: Facet, value: string | null): void {
    const key = `${keyOf(element)} ${keyOf(facet)}`;
    this.#budget.spend(key.length);
    const known = this.#writes.get(key);
    if (known && compareValues(known.value, value) >= 0) return;
    this.#writes.set(key, { element, facet, value });
    if (this.#writes.size > maxChanges) throw tooManyChanges('patch');
  }
}

function each<T>(field: string, list: readonly T[] | undefined, read: (at: string, item: T) => void): void {
  if (list === undefined) return;
  if (!Array.isArray(list)) refuse(field, list, 'a list');
  if (list.length > maxChanges) throw tooManyChanges(field);
  for (const [i, item] of list.entries()) read(`${field}[${i}]`, item);
}

function tooManyChanges(field: string): StompError {
  return new StompError(
    'INVALID_REQUEST',
    `A patch makes at most ${maxChanges} changes: nodes, edges and properties together. Split it; with the same ` +
      'timestamp its parts come to the same graph.',
    { fields: { field, allowed: `at most ${maxChanges} changes` } },
  );
}

function nameOf(field: string, value: unknown): string {
  const fits = typeof value === 'string' && value !== '' && value.length <= maxNameLength;
  return fits ? value : refuse(field, value, `a text of 1 to ${maxNameLength} characters`);
}

function edgeOf(at: string, edge: EdgeKey, more: readonly string[] = []): Element {
  checkFields(at, edge, [...edgeFields, ...more]);
  return [
    'edge',
    nameOf(`${at}.source`, edge.source),
    nameOf(`${at}.target`, edge.target),
    nameOf(`${at}.type`, edge.type),
  ];
}

function elementOf(at: string, item: GraphElement, more: string): Element {
  checkFields(at, item, ['node', 'edge', more]);
  const { node, edge } = item as { node?: string; edge?: EdgeKey };
  if ((node === undefined) === (edge === undefined)) refuse(at, item, 'of either a node or an edge');
  return edge === undefined ? ['node', nameOf(`${at}.node`, node)] : edgeOf(`${at}.edge`, edge);
}
