/** What a grammar means, spelled out: whether a text derives from it. Slow and plain, to test compilers against. */
import type { Grammar, GrammarNode } from '../../../../ts/engine/grammar/ir.js';

export function accepts(grammar: Grammar, value: string): boolean {
  return new Acceptor(grammar, value).ends({ ref: 'root' }, 0).has(value.length);
}

class Acceptor {
  readonly #grammar: Grammar;
  readonly #value: string;
  readonly #known = new Map<string, ReadonlySet<number>>();

  constructor(grammar: Grammar, value: string) {
    this.#grammar = grammar;
    this.#value = value;
  }

  /** Where texts of `node` that begin at `at` may end. */
  ends(node: GrammarNode, at: number): ReadonlySet<number> {
    if ('text' in node) return new Set(this.#value.startsWith(node.text, at) ? [at + node.text.length] : []);
    if ('chars' in node) return this.#character(node.chars, at);
    if ('seq' in node)
      return node.seq.reduce(
        (starts, part) => this.#each(part, starts),
        new Set([at]) as ReadonlySet<number>,
      );
    if ('or' in node) return new Set(node.or.flatMap((branch) => [...this.ends(branch, at)]));
    if ('repeat' in node)
      return this.#repeat(node.repeat, node.min, node.max ?? Number.POSITIVE_INFINITY, at);
    if ('ref' in node) return this.#rule(node.ref, at);
    throw new Error('Tokens have no text.');
  }

  #each(node: GrammarNode, starts: ReadonlySet<number>): ReadonlySet<number> {
    return new Set([...starts].flatMap((start) => [...this.ends(node, start)]));
  }

  #character(ranges: readonly (readonly [number, number])[], at: number): ReadonlySet<number> {
    const point = this.#value.codePointAt(at);
    if (point === undefined || !ranges.some(([low, high]) => low <= point && point <= high)) return new Set();
    return new Set([at + (point > 0xffff ? 2 : 1)]);
  }

  #repeat(node: GrammarNode, min: number, max: number, at: number): ReadonlySet<number> {
    const found = new Set<number>(min === 0 ? [at] : []);
    let starts: ReadonlySet<number> = new Set([at]);
    // Every round reads at least one character.
    for (let count = 1; count <= max && starts.size > 0; count++) {
      starts = this.#each(node, starts);
      if (count >= min) for (const end of starts) found.add(end);
    }
    return found;
  }

  #rule(name: string, at: number): ReadonlySet<number> {
    const key = `${name}@${at}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const node = this.#grammar.rules[name];
    if (node === undefined) throw new Error(`No rule is called "${name}".`);
    const found = this.ends(node, at);
    this.#known.set(key, found);
    return found;
  }
}
