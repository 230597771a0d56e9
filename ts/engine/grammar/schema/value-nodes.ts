/** Listed values as rules. */
import type { GrammarBuilder } from '../builder.js';
import { type GrammarNode, or, seq, text } from '../ir.js';
import { colon, commaNode, gapNode } from '../json.js';
import { valueKey } from './validate.js';

/** Depth of choices inside one rule. */
const maxNesting = 8;

/**
 * One of `values`, each once. Texts that begin alike share their beginning, so that a list of thousands is no slower
 * to follow than a few.
 */
export function valuesNode(builder: GrammarBuilder, values: readonly unknown[]): GrammarNode {
  const unique = [...new Map(values.map((value) => [valueKey(value), value])).values()];
  const isNested = (value: unknown) => typeof value === 'object' && value !== null;
  const plain = unique.filter((value) => !isNested(value)).map((value) => JSON.stringify(value));
  return or(
    ...(plain.length === 0 ? [] : [prefixNode(builder, plain.sort(), 0)]),
    ...unique.filter(isNested).map((value) => valueNode(builder, value)),
  );
}

function valueNode(builder: GrammarBuilder, value: unknown): GrammarNode {
  if (typeof value !== 'object' || value === null) return text(JSON.stringify(value));
  if (Array.isArray(value))
    return wrapped(
      builder,
      '[',
      value.map((held) => valueNode(builder, held)),
      ']',
    );
  const members = Object.entries(value).map(([name, held]) =>
    seq(text(JSON.stringify(name)), colon, valueNode(builder, held)),
  );
  return wrapped(builder, '{', members, '}');
}

function wrapped(
  builder: GrammarBuilder,
  opening: string,
  items: readonly GrammarNode[],
  closing: string,
): GrammarNode {
  const gap = gapNode(builder);
  const separated = items.flatMap((item, i) => (i === 0 ? [item] : [commaNode(builder), item]));
  const inside = items.length === 0 ? [gap] : [gap, ...separated, gap];
  return seq(text(opening), ...inside, text(closing));
}

/** @param texts sorted and unique, without the beginning that they share already. */
function prefixNode(builder: GrammarBuilder, texts: readonly string[], nesting: number): GrammarNode {
  const [first = ''] = texts;
  if (texts.length === 1) return text(first);
  const shared = sharedLength(first, texts.at(-1) ?? '');
  const groups = byFirstCharacter(texts.map((each) => each.slice(shared)));
  const branches = groups.map((group) => prefixNode(builder, group, nesting + 1));
  const node = seq(text(first.slice(0, shared)), or(...branches));
  return nesting > 0 && nesting % maxNesting === 0 ? builder.rule('values', node) : node;
}

/** How much two texts share, in whole characters. */
function sharedLength(a: string, b: string): number {
  let shared = 0;
  while (shared < a.length && a[shared] === b[shared]) shared += 1;
  return /[\ud800-\udbff]/.test(a[shared - 1] ?? '') ? shared - 1 : shared;
}

function byFirstCharacter(texts: readonly string[]): string[][] {
  const groups = new Map<number | undefined, string[]>();
  for (const each of texts) {
    const head = each.codePointAt(0);
    const known = groups.get(head);
    if (known) known.push(each);
    else groups.set(head, [each]);
  }
  return [...groups.values()];
}
