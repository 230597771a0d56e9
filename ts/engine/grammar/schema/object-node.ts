/**
 * Objects as rules: declared and required members first, in the order of the schema, then others. Those that need
 * not be there may be left out.
 */
import type { GrammarBuilder } from '../builder.js';
import { type GrammarNode, or, repeat, seq, text } from '../ir.js';
import { colon, commaNode, gapNode } from '../json.js';
import type { Counts } from './keywords.js';

export interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly value: GrammarNode;
}

export interface Members {
  readonly named: readonly Member[];
  /** A member of any other name: its key, the colon and its value. Undefined: there is none. */
  readonly other: GrammarNode | undefined;
  readonly counts: Counts;
}

export function objectNode(builder: GrammarBuilder, members: Members): GrammarNode {
  return new ObjectCompiler(builder, members).compile();
}

class ObjectCompiler {
  readonly #builder: GrammarBuilder;
  readonly #members: Members;
  readonly #isCounted: boolean;
  readonly #comma: GrammarNode;
  readonly #close: GrammarNode;
  /** How many members are required from this one on. */
  readonly #needed: readonly number[];

  constructor(builder: GrammarBuilder, members: Members) {
    const { named, other, counts } = members;
    this.#builder = builder;
    this.#members = members;
    this.#comma = commaNode(builder);
    this.#close = seq(gapNode(builder), text('}'));
    const needed = [0];
    for (const { required } of [...named].reverse()) needed.unshift((needed[0] ?? 0) + (required ? 1 : 0));
    this.#needed = needed;
    const isLimited = counts.max !== null && (other !== undefined || counts.max < named.length);
    this.#isCounted = isLimited || counts.min > (needed[0] ?? 0);
  }

  compile(): GrammarNode {
    const { counts } = this.#members;
    const most = this.#isCounted ? Math.min(this.#members.named.length, counts.max ?? counts.min) : 0;
    // From the last member to the first, so that each rule finds those that it goes on with.
    let after: GrammarNode[] = [];
    for (let index = this.#members.named.length; index >= 0; index--) {
      const next = after;
      after = Array.from({ length: most + 1 }, (_, count) => this.#from(index, count, next));
    }
    const empty = this.#mayEnd(0, 0) ? [text('}')] : [];
    return seq(text('{'), gapNode(this.#builder), or(...empty, after[0] ?? or()));
  }

  /** What may come where a member begins, the first of those that may come being `index`. */
  #from(index: number, count: number, next: readonly GrammarNode[]): GrammarNode {
    const member = this.#members.named[index];
    if (member === undefined) return this.#others(count);
    const after = this.#isCounted ? count + 1 : 0;
    const key = seq(text(JSON.stringify(member.name)), colon);
    const taken = this.#fits(count) ? [seq(key, member.value, this.#tail(index + 1, after, next))] : [];
    const skipped = member.required ? [] : [next[count] ?? or()];
    return this.#builder.rule('members', or(...taken, ...skipped));
  }

  /** After `count` members. */
  #tail(index: number, count: number, next: readonly GrammarNode[]): GrammarNode {
    const capped = this.#cap(count);
    const end = this.#mayEnd(index, count) ? [this.#close] : [];
    return or(...end, ...(this.#fits(count) ? [seq(this.#comma, next[capped] ?? or())] : []));
  }

  /** Any number of the others, of which two may have one name: they count as one where many are demanded. */
  #others(count: number): GrammarNode {
    const { other, counts } = this.#members;
    if (other === undefined || !this.#fits(count) || (this.#isCounted && counts.min > count + 1)) return or();
    const rest = !this.#isCounted || counts.max === null ? null : counts.max - count - 1;
    return seq(other, repeat(seq(this.#comma, other), 0, rest), this.#close);
  }

  #fits(count: number): boolean {
    const { max } = this.#members.counts;
    return !this.#isCounted || max === null || count < max;
  }

  #mayEnd(index: number, count: number): boolean {
    return this.#needed[index] === 0 && (!this.#isCounted || count >= this.#members.counts.min);
  }

  /** Without a limit above, more members than are demanded need not be told apart. */
  #cap(count: number): number {
    const { min, max } = this.#members.counts;
    return max === null ? Math.min(count, min) : count;
  }
}
