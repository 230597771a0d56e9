/** Automata as rules of a grammar. */
import type { GrammarBuilder } from '../builder.js';
import { chars, type GrammarNode, or, ref, seq, text } from '../ir.js';
import { plainRanges } from '../json.js';
import type { Automaton } from './automaton.js';
import { contains, intersection, type Range, type Ranges, rangesKey } from './ranges.js';

/** States with one way to them are written where they are reached, down to this depth. */
const maxInline = 12;

/**
 * @param encode the node of one character of these ranges.
 * @param end what follows an accepted text.
 */
export function automatonNode(
  builder: GrammarBuilder,
  name: string,
  automaton: Automaton,
  encode: (ranges: Ranges) => GrammarNode,
  end: GrammarNode,
): GrammarNode {
  const ways = waysTo(automaton);
  const names = new Map<number, string>();
  const waiting: number[] = [];
  const nameOf = (state: number): string => {
    const known = names.get(state);
    if (known !== undefined) return known;
    const made = builder.reserve(name);
    names.set(state, made);
    waiting.push(state);
    return made;
  };
  const nodeOf = (state: number, depth: number): GrammarNode => {
    const { accepting = false, arcs = [] } = automaton[state] ?? {};
    const branches = arcs.map(({ ranges, target }) => {
      const inline = ways[target] === 1 && depth < maxInline;
      return seq(encode(ranges), inline ? nodeOf(target, depth + 1) : ref(nameOf(target)));
    });
    return or(...branches, ...(accepting ? [end] : []));
  };
  const root = ref(nameOf(0));
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    builder.define(nameOf(state), nodeOf(state, 0));
  }
  return root;
}

function waysTo(automaton: Automaton): number[] {
  const ways: number[] = automaton.map((_, i) => (i === 0 ? 1 : 0));
  for (const { arcs } of automaton) for (const { target } of arcs) ways[target] = (ways[target] ?? 0) + 1;
  return ways;
}

/** A string between its quotes, every character in its canonical spelling: escaped only where it must be. */
export function stringAutomatonNode(
  builder: GrammarBuilder,
  name: string,
  automaton: Automaton,
): GrammarNode {
  const known = new Map<string, GrammarNode>();
  const encode = (ranges: Ranges): GrammarNode => {
    const key = rangesKey(ranges);
    const made = known.get(key) ?? canonicalChar(builder, ranges);
    known.set(key, made);
    return made;
  };
  return seq(text('"'), automatonNode(builder, name, automaton, encode, text('"')));
}

/** A set of more parts than this is a rule of its own. */
const maxParts = 4;

function canonicalChar(builder: GrammarBuilder, ranges: Ranges): GrammarNode {
  const plain = intersection(ranges, plainRanges);
  const escaped = escapedPoints.filter((point) => contains(ranges, point));
  const escapes =
    escaped.length === escapedPoints.length
      ? [builder.shared('json-escape', () => or(...escapedPoints.map(escapeOf)))]
      : escaped.map(escapeOf);
  const parts = plain.length === 0 ? escapes : [plainNode(plain), ...escapes];
  const [first] = parts;
  if (parts.length === 1 && first !== undefined && plain.length <= maxParts) return first;
  const node = or(...parts);
  return parts.length + plain.length <= maxParts ? node : builder.rule('json-set', node);
}

function plainNode(ranges: Ranges): GrammarNode {
  const [[low, high]] = ranges as [Range];
  return ranges.length === 1 && low === high ? text(String.fromCodePoint(low)) : chars(...ranges);
}

/** Characters that JSON does not take as they are. */
const escapedPoints = [...Array(0x20).keys(), 0x22, 0x5c];

function escapeOf(point: number): GrammarNode {
  return text(JSON.stringify(String.fromCodePoint(point)).slice(1, -1));
}
