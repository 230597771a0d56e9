/** Splits the files of a repository into parts for several agents, so that few calls go from part to part. Pure. */
import { checkInteger } from '../arguments.js';
import type { CallGraph } from './graph/call-graph.js';
import { splitAddress } from './symbols/address.js';
import type { FileSymbols } from './symbols/symbols.js';

export interface Part {
  readonly files: readonly string[];
  /** Imports do not count. */
  readonly symbols: number;
}

export interface Shards {
  /** As many as were asked for, the largest first; empty ones when there are fewer files. */
  readonly parts: readonly Part[];
  /** Calls from one file to another. */
  readonly calls: number;
  /** Those of them that go from part to part. */
  readonly cutCalls: number;
}

// A part may be so much larger than its share, for the sake of fewer cut calls.
const slack = 1.1;
const maxPasses = 20;

interface Node {
  readonly path: string;
  readonly weight: number;
  readonly neighbours: Map<Node, number>;
}

/** Files stay whole: two agents in one file get in each other's way. @throws StompError INVALID_REQUEST */
export function shard(files: readonly FileSymbols[], graph: CallGraph, count: number): Shards {
  const n = checkInteger('count', count, 1, { min: 1, max: 1000 });
  const nodes = nodesOf(files, graph);
  const share = nodes.reduce((sum, { weight }) => sum + weight, 0) / n;
  const pieces = components(nodes).flatMap((component) => split(component, share));
  const groups = packed(pieces, n);
  refine(nodes, groups, share * slack);
  return result(nodes, groups);
}

function nodesOf(files: readonly FileSymbols[], graph: CallGraph): Node[] {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const nodes = new Map<string, Node>();
  const own = (file: FileSymbols) => file.symbols.filter(({ kind }) => kind !== 'import');
  for (const file of sorted)
    nodes.set(file.path, { path: file.path, weight: own(file).length, neighbours: new Map() });
  for (const file of sorted) {
    const addresses = own(file).map(({ name }) => `${file.path}::${name}`);
    for (const { callee } of addresses.flatMap((address) => graph.callees(address)))
      connect(nodes.get(file.path), nodes.get(splitAddress(callee).path));
  }
  return [...nodes.values()];
}

function connect(a: Node | undefined, b: Node | undefined): void {
  if (!a || !b || a === b) return;
  a.neighbours.set(b, (a.neighbours.get(b) ?? 0) + 1);
  b.neighbours.set(a, (b.neighbours.get(a) ?? 0) + 1);
}

function components(nodes: readonly Node[]): Node[][] {
  const seen = new Set<Node>();
  const found: Node[][] = [];
  for (const start of nodes) {
    if (seen.has(start)) continue;
    const component = [start];
    seen.add(start);
    // It grows while it is walked.
    for (const node of component) {
      for (const next of [...node.neighbours.keys()].filter((one) => !seen.has(one))) {
        seen.add(next);
        component.push(next);
      }
    }
    found.push(component);
  }
  return found;
}

function weightOf(nodes: Iterable<Node>): number {
  let sum = 0;
  for (const { weight } of nodes) sum += weight;
  return sum;
}

/** Into pieces that are no larger than a share: each grows by the file that it shares the most calls with. */
function split(component: readonly Node[], share: number): Node[][] {
  if (weightOf(component) <= share * slack) return [[...component]];
  const left = new Set(component);
  const pieces: Node[][] = [];
  while (left.size > 0) pieces.push(grow(left, share));
  return pieces;
}

/** Takes one piece out of what is left. */
function grow(left: Set<Node>, share: number): Node[] {
  const piece: Node[] = [];
  const ties = new Map<Node, number>();
  let weight = 0;
  for (let next = mostTied(left, ties); next; next = mostTied(left, ties)) {
    if (piece.length > 0 && weight + next.weight > share) break;
    left.delete(next);
    ties.delete(next);
    piece.push(next);
    weight += next.weight;
    const open = [...next.neighbours].filter(([node]) => left.has(node));
    for (const [node, calls] of open) ties.set(node, (ties.get(node) ?? 0) + calls);
  }
  return piece;
}

/** The first begins where the fewest calls lead away: at an edge of what is left. */
function mostTied(left: ReadonlySet<Node>, ties: ReadonlyMap<Node, number>): Node | undefined {
  const tied = [...ties].sort(([a, x], [b, y]) => y - x || (a.path < b.path ? -1 : 1))[0]?.[0];
  if (tied) return tied;
  let best: Node | undefined;
  for (const node of left) if (!best || node.neighbours.size < best.neighbours.size) best = node;
  return best;
}

type Groups = Set<Node>[];

/** The largest piece first, each to where there is the least. */
function packed(pieces: readonly Node[][], count: number): Groups {
  const groups = Array.from({ length: count }, () => new Set<Node>());
  const bySize = pieces
    .map((nodes) => ({ nodes, weight: weightOf(nodes) }))
    .sort((a, b) => b.weight - a.weight || ((a.nodes[0]?.path ?? '') < (b.nodes[0]?.path ?? '') ? -1 : 1));
  for (const { nodes } of bySize) {
    const weights = groups.map(weightOf);
    const lightest = groups[weights.indexOf(Math.min(...weights))];
    for (const node of nodes) lightest?.add(node);
  }
  return groups;
}

/** Moves single files to where most of their calls go, while no part grows too large. */
function refine(nodes: readonly Node[], groups: Groups, limit: number): void {
  const weights = groups.map(weightOf);
  const groupOf = new Map(groups.flatMap((group, i) => [...group].map((node) => [node, i] as const)));
  for (let pass = 0; pass < maxPasses; pass++) {
    let moved = 0;
    for (const node of nodes) if (move(node, groups, groupOf, weights, limit)) moved++;
    if (moved === 0) return;
  }
}

/** @returns whether there was a better place. */
function move(
  node: Node,
  groups: Groups,
  groupOf: Map<Node, number>,
  weights: number[],
  limit: number,
): boolean {
  const from = groupOf.get(node) ?? 0;
  const ties = new Map<number, number>();
  for (const [other, calls] of node.neighbours) {
    const group = groupOf.get(other) ?? 0;
    ties.set(group, (ties.get(group) ?? 0) + calls);
  }
  const fits = (group: number) => (weights[group] ?? 0) + node.weight <= limit;
  const best = [...ties]
    .filter(([group]) => group !== from && fits(group))
    .sort((a, b) => b[1] - a[1] || a[0] - b[0])[0];
  if (!best || best[1] <= (ties.get(from) ?? 0) || groups[from]?.size === 1) return false;
  const [to] = best;
  groups[from]?.delete(node);
  groups[to]?.add(node);
  groupOf.set(node, to);
  weights[from] = (weights[from] ?? 0) - node.weight;
  weights[to] = (weights[to] ?? 0) + node.weight;
  return true;
}

function result(nodes: readonly Node[], groups: Groups): Shards {
  const groupOf = new Map(groups.flatMap((group, i) => [...group].map((node) => [node, i] as const)));
  let [twice, cutTwice] = [0, 0];
  for (const node of nodes) {
    for (const [other, calls] of node.neighbours) {
      twice += calls;
      if (groupOf.get(node) !== groupOf.get(other)) cutTwice += calls;
    }
  }
  const parts = groups.map((group) => ({
    files: [...group].map(({ path }) => path).sort(),
    symbols: weightOf(group),
  }));
  parts.sort((a, b) => b.symbols - a.symbols || ((a.files[0] ?? '') < (b.files[0] ?? '') ? -1 : 1));
  return { parts, calls: twice / 2, cutCalls: cutTwice / 2 };
}
