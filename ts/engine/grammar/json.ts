/**
 * JSON as models write it: compact, with a space after commas and colons, or one member to a line, indented. White
 * space is bounded, so that a weak model cannot write it for ever.
 */
import type { GrammarBuilder } from './builder.js';
import { chars, type GrammarNode, optional, or, repeat, seq, text } from './ir.js';

const maxIndent = 40;
/** Digits before the point, after it, and of an exponent. No double needs more. */
export const maxIntegerDigits = 20;
const maxFractionDigits = 17;
const maxExponentDigits = 2;

const digit = chars([0x30, 0x39]);
const hex = chars([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);

/** Characters that stand for themselves in a string. */
export const plainRanges: readonly (readonly [number, number])[] = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0xd7ff],
  [0xe000, 0x10ffff],
];

/** After `{`, `[` and `,`, and before `}` and `]`: nothing, a space, or a new line with its indent. */
export function gapNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-gap', () =>
    or(text(''), text(' '), seq(text('\n'), repeat(chars([0x09, 0x09], [0x20, 0x20]), 0, maxIndent))),
  );
}

/** Between two members or elements. */
export function commaNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-comma', () => seq(text(','), gapNode(builder)));
}

/** Between key and value. */
export const colon: GrammarNode = or(text(':'), text(': '));

/** One character of a string, in any spelling that JSON has for it. A pair of surrogates is one. */
export function stringCharNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-char', () =>
    or(chars(...plainRanges), seq(text('\\'), or(shortEscape, seq(text('u'), or(...unicodeEscapes))))),
  );
}

const shortEscape = chars(...[...'"/\\bfnrt'].map((c) => pointRange(c)));
const unicodeEscapes: readonly GrammarNode[] = [
  seq(chars([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]), hex, hex, hex),
  seq(chars([0x44, 0x44], [0x64, 0x64]), chars([0x30, 0x37]), hex, hex),
  seq(
    chars([0x44, 0x44], [0x64, 0x64]),
    chars([0x38, 0x39], [0x41, 0x42], [0x61, 0x62]),
    seq(hex, hex, text('\\u')),
    chars([0x44, 0x44], [0x64, 0x64]),
    chars([0x43, 0x46], [0x63, 0x66]),
    seq(hex, hex),
  ),
];

function pointRange(character: string): readonly [number, number] {
  const point = character.codePointAt(0) ?? 0;
  return [point, point];
}

/** Any string of `min` to `max` code points; `max` null: without end. */
export function jsonStringNode(builder: GrammarBuilder, min = 0, max: number | null = null): GrammarNode {
  const node = () => seq(text('"'), repeat(stringCharNode(builder), min, max), text('"'));
  return min === 0 && max === null ? builder.shared('json-string', node) : node();
}

export function jsonIntegerNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-integer', () =>
    or(text('0'), seq(optional(text('-')), chars([0x31, 0x39]), repeat(digit, 0, maxIntegerDigits - 1))),
  );
}

export function jsonNumberNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-number', () =>
    seq(
      optional(text('-')),
      or(text('0'), seq(chars([0x31, 0x39]), repeat(digit, 0, maxIntegerDigits - 1))),
      optional(seq(text('.'), repeat(digit, 1, maxFractionDigits))),
      optional(
        seq(
          chars(pointRange('E'), pointRange('e')),
          optional(chars(pointRange('+'), pointRange('-'))),
          repeat(digit, 1, maxExponentDigits),
        ),
      ),
    ),
  );
}

/** `opening`, items with commas between them, `closing`. */
export function listNode(
  builder: GrammarBuilder,
  opening: string,
  item: GrammarNode,
  closing: string,
): GrammarNode {
  const gap = gapNode(builder);
  const items = seq(item, repeat(seq(commaNode(builder), item), 0, null), gap, text(closing));
  return seq(text(opening), gap, or(text(closing), items));
}

export function jsonArrayNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-array', () => listNode(builder, '[', jsonValueNode(builder), ']'));
}

/** Any object. A key may come twice, as JSON allows; readers take the last. */
export function jsonObjectNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-object', () =>
    listNode(builder, '{', seq(jsonStringNode(builder), colon, jsonValueNode(builder)), '}'),
  );
}

export function jsonValueNode(builder: GrammarBuilder): GrammarNode {
  return builder.shared('json-value', () =>
    or(
      jsonObjectNode(builder),
      jsonArrayNode(builder),
      jsonStringNode(builder),
      jsonNumberNode(builder),
      ...['true', 'false', 'null'].map(text),
    ),
  );
}
