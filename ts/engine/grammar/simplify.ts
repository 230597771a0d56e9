/** Nodes in their plainest form: nothing that cannot derive, no nesting that says nothing. */
import { type GrammarNode, text } from './ir.js';

/** Derives nothing, not even the empty text. */
export const never: GrammarNode = { or: [] };

export function isNever(node: GrammarNode): boolean {
  return ('or' in node && node.or.length === 0) || ('chars' in node && node.chars.length === 0);
}

/** @param productive whether anything derives from the rule of this name. */
export function simplify(node: GrammarNode, productive: (rule: string) => boolean): GrammarNode {
  if ('ref' in node) return productive(node.ref) ? node : never;
  if ('seq' in node) return simpleSequence(node.seq.map((part) => simplify(part, productive)));
  if ('or' in node) return simpleChoice(node.or.map((branch) => simplify(branch, productive)));
  if ('repeat' in node) return simpleRepeat(simplify(node.repeat, productive), node.min, node.max);
  return node;
}

function simpleSequence(parts: readonly GrammarNode[]): GrammarNode {
  if (parts.some(isNever)) return never;
  const joined: GrammarNode[] = [];
  for (const part of parts.flatMap((each) => ('seq' in each ? each.seq : [each]))) {
    const last = joined.at(-1);
    if (last !== undefined && 'text' in last && 'text' in part) {
      joined[joined.length - 1] = text(last.text + part.text);
    } else if (!('text' in part) || part.text !== '') joined.push(part);
  }
  const [first] = joined;
  if (first === undefined) return text('');
  return joined.length === 1 ? first : { seq: joined };
}

function simpleChoice(branches: readonly GrammarNode[]): GrammarNode {
  const left = branches.flatMap((each) => ('or' in each ? each.or : [each])).filter((each) => !isNever(each));
  const [first] = left;
  if (first === undefined) return never;
  return left.length === 1 ? first : { or: left };
}

function simpleRepeat(node: GrammarNode, min: number, max: number | null): GrammarNode {
  if (max === 0 || (isNever(node) && min === 0)) return text('');
  if (isNever(node)) return never;
  return min === 1 && max === 1 ? node : { repeat: node, min, max };
}
