/** Right-linear grammars of free text in which a marker may not be written, but leads on. */
import type { GrammarBuilder } from '../../grammar/builder.js';
import { chars, type GrammarNode, or, ref, seq, text, token } from '../../grammar/ir.js';

const lastCodePoint = 0x10ffff;

export interface FreeText {
  readonly marker: string;
  /** The marker as one token. */
  readonly token: number | undefined;
  /** The token is no text. */
  readonly special: boolean;
}

/**
 * Any text up to the marker, and what follows it. The marker's characters in other tokens are the marker where it
 * is no token, and are not written where it is one.
 * @param mayEnd the text may end without the marker.
 */
export function freeUpTo(
  builder: GrammarBuilder,
  name: string,
  free: FreeText,
  follows: GrammarNode,
  mayEnd = false,
): GrammarNode {
  const exit = free.token === undefined ? [] : [seq(token(free.token), follows)];
  const end = mayEnd ? [text('')] : [];
  if (free.special) {
    const rule = builder.reserve(name);
    builder.define(rule, or(...end, ...exit, seq(allBut([]), ref(rule))));
    return ref(rule);
  }
  const marker = Array.from(free.marker);
  const states = marker.map(() => builder.reserve(name));
  for (const [matched, rule] of states.entries()) {
    const steps = nextStates(marker, matched).map(([char, to]) => {
      const target = states[to];
      if (target !== undefined) return seq(text(char), ref(target));
      return free.token === undefined ? seq(text(char), follows) : or();
    });
    const others = seq(allBut(marker), ref(states[0] ?? rule));
    builder.define(rule, or(...end, ...exit, ...steps, others));
  }
  return ref(states[0] ?? name);
}

/**
 * Any text in which `first` does not begin a line, except to begin `follows`.
 * @param again text may go on after that.
 */
export function linesWithout(
  builder: GrammarBuilder,
  first: string,
  follows: GrammarNode,
  again: boolean,
): GrammarNode {
  const start = builder.reserve('line');
  const inside = builder.reserve('in-line');
  const after = again ? or(text(''), seq(text('\n'), ref(start))) : text('');
  const space = [' ', '\t', '\r', '\n'];
  builder.define(
    start,
    or(
      text(''),
      seq(follows, after),
      seq(or(...space.map(text)), ref(start)),
      seq(allBut([first, ...space]), ref(inside)),
    ),
  );
  builder.define(inside, or(text(''), seq(text('\n'), ref(start)), seq(allBut(['\n']), ref(inside))));
  return ref(start);
}

/**
 * How much of the marker is matched after each of its characters, when `matched` of it were (Knuth, Morris, Pratt
 * 1977).
 */
function nextStates(marker: readonly string[], matched: number): [char: string, to: number][] {
  return [...new Set(marker)].map((char) => {
    const seen = [...marker.slice(0, matched), char];
    let length = Math.min(seen.length, marker.length);
    while (length > 0 && !endsWith(seen, marker.slice(0, length))) length--;
    return [char, length];
  });
}

function endsWith(text: readonly string[], end: readonly string[]): boolean {
  const from = text.length - end.length;
  return from >= 0 && end.every((char, i) => text[from + i] === char);
}

/** Any character but these. */
function allBut(excluded: readonly string[]): GrammarNode {
  const points = [...new Set(excluded.map((char) => char.codePointAt(0) ?? 0))].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  let from = 0;
  for (const point of [...points, lastCodePoint + 1]) {
    if (from < point) ranges.push([from, point - 1]);
    from = point + 1;
  }
  return chars(...ranges.flatMap(withoutSurrogates));
}

function withoutSurrogates([from, to]: [number, number]): [number, number][] {
  const parts: [number, number][] = [
    [from, Math.min(to, 0xd7ff)],
    [Math.max(from, 0xe000), to],
  ];
  return parts.filter(([low, high]) => low <= high);
}
