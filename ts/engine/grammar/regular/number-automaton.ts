/**
 * Numbers between bounds and multiples, as texts without an exponent. Bounds are compared as decimals. The count
 * of digits is limited so that no text rounds, as a double, to a bound that it must not reach.
 */
import { maxIntegerDigits } from '../json.js';
import { type Automaton, automaton } from './automaton.js';
import { type Decimal, decimalOf, scaled } from './decimal.js';
import type { Ranges } from './ranges.js';

export interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

export interface NumberRules {
  /** No point, no fraction. */
  readonly integer: boolean;
  readonly lower: readonly Bound[];
  readonly upper: readonly Bound[];
  readonly multiples: readonly number[];
  /** As many digits as any number that is written may stand for, to find out whether there are numbers at all. */
  readonly anyDigits: boolean;
}

/** Remainders that are told apart for a `multipleOf` at most. */
const maxRemainders = 128;
/** Exclusive bounds beyond this are not exact in doubles. */
export const maxExclusive = 2 ** 53;

/** Significant digits of a number with a fraction: those of a double, or those that always stay apart. */
const maxDigits = 17;
const maxDistinctDigits = 15;
/** Of a number with an exponent, written without it. */
const mostDigits = 140;
/** More digits than this are no double. */
const mostIntegerDigits = 308;
const maxStates = 40_000;
/** What a position counts for: ten digits are tried at each. */
const positionSteps = 5;

/**
 * A multiple as a count of units: `units` times 10 to the power of `zeros - places`, of which only one is not 0.
 * A number is a multiple when its digits end in as many zeros and what stands before them is one of `units`.
 */
interface Multiple {
  readonly units: number;
  readonly zeros: number;
  readonly places: number;
}

function multipleOf(value: number): Multiple {
  const { units, places } = scaled(value);
  const digits = units.toString();
  const zeros = digits.length - digits.replace(/0+$/, '').length;
  return { units: Number(digits.slice(0, digits.length - zeros)), zeros, places };
}

/** Whether `multipleOf` of this value is served. */
export function isMultipleServed(value: number): boolean {
  const { units, zeros, places } = multipleOf(value);
  return units * (zeros + 1) * (places + 1) <= maxRemainders;
}

interface Position {
  readonly phase: 'start' | 'sign' | 'zero' | 'integer' | 'point' | 'fraction';
  readonly negative: boolean;
  readonly integerDigits: number;
  readonly fractionDigits: number;
  readonly isZero: boolean;
  /** For each bound how its digits compare with the bound's so far, signs aside. */
  readonly order: readonly number[];
  /** For each multiple what is left of the digits before their last zeros, and how many zeros those are. */
  readonly remainders: readonly (readonly [rest: number, zeros: number])[];
}

/** Counts the work that something takes. */
export type Spend = (steps: number, where: string) => void;

/**
 * @param where what it is for, for messages.
 * @throws StompError INVALID_REQUEST when the rules together are too much.
 */
export function numberAutomaton(rules: NumberRules, where: string, spend: Spend): Automaton {
  const walker = new NumberWalker(rules);
  return automaton<Position>(
    {
      start: walker.start,
      key: (position) => Object.values(position).join(' '),
      accepting: (position) => walker.accepts(position),
      arcs: (position) => walker.arcs(position),
      spend: (steps, place) => spend(positionSteps * steps, place),
    },
    where,
    maxStates,
  );
}

class NumberWalker {
  readonly #integer: boolean;
  readonly #bounds: readonly (Decimal & { exclusive: boolean; upper: boolean })[];
  readonly #multiples: readonly Multiple[];
  readonly #maxInteger: number;
  readonly #maxTotal: number;
  readonly start: Position;

  constructor({ integer, lower, upper, multiples, anyDigits }: NumberRules) {
    this.#integer = integer;
    this.#bounds = [
      ...lower.map((bound) => [bound, false] as const),
      ...upper.map((bound) => [bound, true] as const),
    ].map(([{ value, exclusive }, isUpper]) => ({ ...decimalOf(value), exclusive, upper: isUpper }));
    this.#multiples = multiples.map(multipleOf);
    const longest = Math.max(maxIntegerDigits, ...this.#bounds.map((bound) => bound.integer.length));
    this.#maxInteger = Math.min(longest, mostIntegerDigits);
    const apart = this.#bounds.some(({ exclusive }) => exclusive) ? maxDistinctDigits : maxDigits;
    this.#maxTotal = anyDigits ? mostDigits : apart;
    this.start = {
      phase: 'start',
      negative: false,
      integerDigits: 0,
      fractionDigits: 0,
      isZero: true,
      order: this.#bounds.map(() => 0),
      remainders: this.#multiples.map(({ zeros }) => [0, zeros]),
    };
  }

  *arcs(position: Position): Iterable<readonly [Ranges, Position]> {
    if (position.phase === 'start') yield [one('-'), { ...position, phase: 'sign', negative: true }];
    if (this.#takesPoint(position)) yield [one('.'), this.#point(position)];
    for (let digit = 0; digit <= 9; digit++) {
      const next = this.#digit(position, digit);
      if (next !== undefined) yield [one(String(digit)), next];
    }
  }

  #takesPoint(position: Position): boolean {
    const { phase, integerDigits } = position;
    if (this.#integer || (phase !== 'zero' && phase !== 'integer')) return false;
    return integerDigits < this.#maxTotal && this.#mayStillBeMultiple(position);
  }

  /** False where all digits that count are written, and they are no multiple. */
  #mayStillBeMultiple(position: Position): boolean {
    return (
      this.#multiples.some(({ places }) => places > position.fractionDigits) || this.#isMultiple(position)
    );
  }

  #point(position: Position): Position {
    const order = this.#bounds.map((_, i) => this.#wholeOrder(position, i));
    return { ...position, phase: 'point', order };
  }

  #digit(position: Position, digit: number): Position | undefined {
    switch (position.phase) {
      case 'zero':
        return undefined;
      case 'point':
      case 'fraction':
        return this.#fractionDigit(position, digit);
      default:
        return position.integerDigits < this.#maxInteger ? this.#integerDigit(position, digit) : undefined;
    }
  }

  #integerDigit(position: Position, digit: number): Position | undefined {
    const index = position.integerDigits;
    const next: Position = {
      ...position,
      phase: index === 0 && digit === 0 ? 'zero' : 'integer',
      integerDigits: index + 1,
      isZero: digit === 0 && index === 0,
      order: this.#bounds.map((bound, i) => ordered(position.order[i], digit, bound.integer[index])),
      remainders: this.#multiples.map((multiple, i) => remainder(position.remainders[i], multiple, digit)),
    };
    return this.#isLost(next) ? undefined : next;
  }

  /** More digits than a bound has only lead farther from it. */
  #isLost(position: Position): boolean {
    return this.#bounds.some(
      ({ integer }, i) => position.integerDigits > integer.length && !this.#within(position, i),
    );
  }

  #fractionDigit(position: Position, digit: number): Position | undefined {
    const index = position.fractionDigits;
    if (position.integerDigits + index >= this.#maxTotal) return undefined;
    if (digit !== 0 && this.#multiples.some(({ places }) => index >= places)) return undefined;
    return {
      ...position,
      phase: 'fraction',
      fractionDigits: index + 1,
      isZero: position.isZero && digit === 0,
      order: this.#bounds.map((bound, i) => ordered(position.order[i], digit, bound.fraction[index] ?? '0')),
      remainders: this.#multiples.map((multiple, i) => {
        const before = position.remainders[i] ?? [0, 0];
        return index >= multiple.places ? before : remainder(before, multiple, digit);
      }),
    };
  }

  accepts(position: Position): boolean {
    const { phase, negative, isZero } = position;
    if (phase === 'start' || phase === 'sign' || phase === 'point' || (negative && isZero)) return false;
    return this.#bounds.every((_, i) => this.#within(position, i)) && this.#isMultiple(position);
  }

  #within(position: Position, i: number): boolean {
    const bound = this.#bounds[i];
    if (bound === undefined) return true;
    const order = this.#signedOrder(position, bound, i);
    if (order === 0) return !bound.exclusive;
    return bound.upper ? order < 0 : order > 0;
  }

  #signedOrder(position: Position, bound: Decimal, i: number): number {
    if (position.negative !== bound.negative) return position.negative ? -1 : 1;
    const order = position.phase === 'fraction' ? position.order[i] : this.#wholeOrder(position, i);
    const isShorter = order === 0 && bound.fraction.length > position.fractionDigits;
    const magnitude = isShorter ? -1 : (order ?? 0);
    return position.negative ? -magnitude : magnitude;
  }

  /** How the part before the point compares, once it is complete. */
  #wholeOrder({ integerDigits, order }: Position, i: number): number {
    const length = this.#bounds[i]?.integer.length ?? 0;
    return integerDigits === length ? (order[i] ?? 0) : Math.sign(integerDigits - length);
  }

  #isMultiple({ remainders, fractionDigits }: Position): boolean {
    return this.#multiples.every(({ units, zeros, places }, i) => {
      const [rest, found] = remainders[i] ?? [0, 0];
      return found === zeros && raised(rest, places - fractionDigits, units) === 0;
    });
  }
}

/** With one digit more. Zeros beyond those that must be there belong to what is divided. */
function remainder(
  before: readonly [number, number] | undefined,
  { units, zeros }: Multiple,
  digit: number,
): readonly [number, number] {
  const [rest, found] = before ?? [0, 0];
  if (digit === 0) return found < zeros ? [rest, found + 1] : [(rest * 10) % units, found];
  return [(raised(rest, found + 1, units) + digit) % units, 0];
}

/** `rest` with `zeros` behind it, as a remainder of `units`. */
function raised(rest: number, zeros: number, units: number): number {
  let value = rest;
  for (let i = 0; i < zeros; i++) value = (value * 10) % units;
  return value;
}

/** The first digit that differs decides. */
function ordered(before: number | undefined, digit: number, boundDigit: string | undefined): number {
  if (before !== 0 || boundDigit === undefined) return before ?? 0;
  return Math.sign(digit - Number(boundDigit));
}

function one(character: string): Ranges {
  const point = character.charCodeAt(0);
  return [[point, point]];
}
