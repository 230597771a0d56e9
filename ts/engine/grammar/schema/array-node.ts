/** Lists as rules: elements with a place of their own, then as many as may come. */
import type { GrammarBuilder } from '../builder.js';
import { type GrammarNode, or, repeat, seq, text } from '../ir.js';
import { commaNode, gapNode } from '../json.js';
import type { Schema } from './document.js';
import type { Elements } from './merged.js';

export function arrayNode(
  builder: GrammarBuilder,
  elements: Elements,
  nodeOf: (schemas: readonly Schema[]) => GrammarNode,
): GrammarNode {
  const { counts, prefix, at } = elements;
  const { min, max } = counts;
  if (max !== null && min > max) return never;
  const gap = gapNode(builder);
  const comma = commaNode(builder);
  const close = seq(gap, text(']'));
  const fits = (index: number) => max === null || index < max;

  /** After `count` elements, which are at least as many as have a place of their own. */
  const more = (count: number): GrammarNode => {
    const most = max === null ? null : Math.max(0, max - count);
    return seq(repeat(seq(comma, nodeOf(at(count))), Math.max(0, min - count), most), close);
  };
  const tail = (count: number, next: GrammarNode): GrammarNode =>
    or(...(count >= min ? [close] : []), ...(fits(count) ? [seq(comma, next)] : []));

  let node = fits(prefix) ? seq(nodeOf(at(prefix)), more(prefix + 1)) : never;
  for (let i = prefix - 1; i >= 0; i--) {
    const after = i === prefix - 1 ? more(prefix) : tail(i + 1, node);
    node = fits(i) ? builder.rule('elements', seq(nodeOf(at(i)), after)) : never;
  }
  return seq(text('['), gap, or(...(min === 0 ? [text(']')] : []), node));
}

const never = or();
