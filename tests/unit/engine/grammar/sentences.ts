/** Random texts of a grammar. */
import type { Grammar, GrammarNode } from '../../../../ts/engine/grammar/ir.js';

/** How many rules deep a text may go before it takes the shortest way out. */
const maxDepth = 12;

/** @param pick a whole number from 0 to below its argument. */
export function sentence(grammar: Grammar, pick: (below: number) => number): string {
  return new Writer(grammar, pick).write({ ref: 'root' }, 0);
}

class Writer {
  readonly #grammar: Grammar;
  readonly #pick: (below: number) => number;
  readonly #heights: ReadonlyMap<string, number>;

  constructor(grammar: Grammar, pick: (below: number) => number) {
    this.#grammar = grammar;
    this.#pick = pick;
    this.#heights = ruleHeights(grammar);
  }

  write(node: GrammarNode, depth: number): string {
    if ('text' in node) return node.text;
    if ('chars' in node) return character(node.chars, this.#pick);
    if ('seq' in node) return node.seq.map((part) => this.write(part, depth)).join('');
    if ('ref' in node) return this.write(this.#grammar.rules[node.ref] as GrammarNode, depth + 1);
    if ('or' in node) return this.write(this.#branch(node.or, depth), depth);
    if (!('repeat' in node)) throw new Error('Tokens have no text.');
    const spare = depth > maxDepth ? 0 : this.#pick(Math.min(3, (node.max ?? node.min + 3) - node.min) + 1);
    return Array.from({ length: node.min + spare }, () => this.write(node.repeat, depth)).join('');
  }

  #branch(branches: readonly GrammarNode[], depth: number): GrammarNode {
    const chosen = branches[this.#pick(branches.length)] as GrammarNode;
    if (depth <= maxDepth) return chosen;
    const heightOf = (node: GrammarNode) => height(node, this.#heights);
    return branches.reduce((best, each) => (heightOf(each) < heightOf(best) ? each : best), chosen);
  }
}

function character(ranges: readonly (readonly [number, number])[], pick: (below: number) => number): string {
  const [low, high] = ranges[pick(ranges.length)] as readonly [number, number];
  return String.fromCodePoint(low + pick(high - low + 1));
}

/** Rules below a node on its shortest way. */
function height(node: GrammarNode, heights: ReadonlyMap<string, number>): number {
  if ('ref' in node) return 1 + (heights.get(node.ref) ?? Number.POSITIVE_INFINITY);
  if ('seq' in node) return Math.max(0, ...node.seq.map((part) => height(part, heights)));
  if ('or' in node) return Math.min(...node.or.map((each) => height(each, heights)));
  return 'repeat' in node && node.min > 0 ? height(node.repeat, heights) : 0;
}

function ruleHeights(grammar: Grammar): ReadonlyMap<string, number> {
  const heights = new Map<string, number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const [name, node] of Object.entries(grammar.rules)) {
      const found = height(node, heights);
      if (found >= (heights.get(name) ?? Number.POSITIVE_INFINITY)) continue;
      heights.set(name, found);
      changed = true;
    }
  }
  return heights;
}
