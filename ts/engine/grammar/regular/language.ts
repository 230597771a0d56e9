/**
 * Regular languages of characters as expressions with union, intersection and complement. What may follow a
 * character is found by taking the derivative (Brzozowski, "Derivatives of Regular Expressions", 1964). Equal
 * expressions are one object, so that a language has few derivatives.
 */
import { tooHard, type Work } from '../work.js';
import { allPoints, contains, normalRanges, type Ranges, rangesKey } from './ranges.js';

type Shape =
  | { readonly kind: 'empty' }
  | { readonly kind: 'chars'; readonly ranges: Ranges }
  | { readonly kind: 'concat'; readonly head: Language; readonly tail: Language }
  | { readonly kind: 'union'; readonly parts: readonly Language[] }
  | { readonly kind: 'both'; readonly parts: readonly Language[] }
  | { readonly kind: 'not'; readonly of: Language }
  | { readonly kind: 'repeat'; readonly of: Language; readonly min: number; readonly max: number | null };

export interface Language {
  readonly id: number;
  /** Whether the empty text belongs to it. */
  readonly nullable: boolean;
  readonly shape: Shape;
}

/** Expressions of one form. Beyond this, a pattern is too hard. */
const maxExpressions = 100_000;

export class Languages {
  readonly #known = new Map<string, Language>();
  readonly #work: Work;
  readonly #named = new Map<string, Language>();
  readonly #derivatives = new Map<string, Language>();
  readonly #cuts = new Map<Language, ReadonlySet<number>>();

  /** No text at all. */
  readonly never: Language;
  /** The empty text alone. */
  readonly empty: Language;
  /** Every text. */
  readonly all: Language;

  /** @param work where the work on them is counted. */
  constructor(work: Work) {
    this.#work = work;
    this.never = this.#intern('never', { kind: 'union', parts: [] }, false);
    this.empty = this.#intern('empty', { kind: 'empty' }, true);
    this.all = this.repeat(this.chars(allPoints), 0, null);
  }

  chars(ranges: Ranges): Language {
    const normal = normalRanges(ranges);
    if (normal.length === 0) return this.never;
    return this.#intern(`[${rangesKey(normal)}]`, { kind: 'chars', ranges: normal }, false);
  }

  text(value: string): Language {
    const points = [...value].map((character) => character.codePointAt(0) ?? 0);
    return this.concat(points.map((point) => this.chars([[point, point]])));
  }

  concat(parts: readonly Language[]): Language {
    return parts.reduceRight((tail, head) => this.#pair(head, tail), this.empty);
  }

  #pair(head: Language, tail: Language): Language {
    if (head === this.never || tail === this.never) return this.never;
    if (head === this.empty) return tail;
    if (tail === this.empty) return head;
    if (head.shape.kind === 'concat') return this.#pair(head.shape.head, this.#pair(head.shape.tail, tail));
    const nullable = head.nullable && tail.nullable;
    return this.#intern(`${head.id}.${tail.id}`, { kind: 'concat', head, tail }, nullable);
  }

  union(parts: readonly Language[]): Language {
    const flat = flatten('union', parts);
    if (flat.includes(this.all)) return this.all;
    const sets = flat.flatMap(({ shape }) => (shape.kind === 'chars' ? [...shape.ranges] : []));
    const rest = flat.filter(({ shape }) => shape.kind !== 'chars');
    return this.#several('union', sets.length === 0 ? rest : [...rest, this.chars(sets)]);
  }

  /** What all of them hold. */
  both(parts: readonly Language[]): Language {
    const flat = flatten('both', parts).filter((part) => part !== this.all);
    if (flat.includes(this.never)) return this.never;
    return flat.length === 0 ? this.all : this.#several('both', flat);
  }

  #several(kind: 'union' | 'both', parts: readonly Language[]): Language {
    this.spend(parts.length);
    const unique = [...new Set(parts)].sort((a, b) => a.id - b.id);
    const [first] = unique;
    if (first === undefined) return this.never;
    if (unique.length === 1) return first;
    const isNullable = (part: Language) => part.nullable;
    const nullable = kind === 'union' ? unique.some(isNullable) : unique.every(isNullable);
    const sign = kind === 'union' ? '|' : '&';
    return this.#intern(unique.map((part) => part.id).join(sign), { kind, parts: unique }, nullable);
  }

  not(of: Language): Language {
    if (of === this.never) return this.all;
    if (of === this.all) return this.never;
    if (of.shape.kind === 'not') return of.shape.of;
    return this.#intern(`!${of.id}`, { kind: 'not', of }, !of.nullable);
  }

  /** @param max null: without end. */
  repeat(of: Language, min: number, max: number | null): Language {
    if (isNone(of, min, max)) return this.never;
    if (max === 0 || of === this.empty || of === this.never) return this.empty;
    if (isStar(of) || (min === 1 && max === 1)) return of;
    const least = of.nullable ? 0 : min;
    const key = `${of.id}{${least},${max ?? ''}}`;
    return this.#intern(key, { kind: 'repeat', of, min: least, max }, least === 0);
  }

  /** What may follow `point`. */
  derivative(of: Language, point: number): Language {
    const key = `${of.id}/${point}`;
    const known = this.#derivatives.get(key);
    if (known !== undefined) return known;
    this.spend(1);
    const made = this.#derive(of.shape, point);
    this.#derivatives.set(key, made);
    return made;
  }

  #derive(shape: Shape, point: number): Language {
    switch (shape.kind) {
      case 'empty':
        return this.never;
      case 'chars':
        return contains(shape.ranges, point) ? this.empty : this.never;
      case 'concat': {
        const first = this.#pair(this.derivative(shape.head, point), shape.tail);
        return shape.head.nullable ? this.union([first, this.derivative(shape.tail, point)]) : first;
      }
      case 'union':
        return this.union(shape.parts.map((part) => this.derivative(part, point)));
      case 'both':
        return this.both(shape.parts.map((part) => this.derivative(part, point)));
      case 'not':
        return this.not(this.derivative(shape.of, point));
      case 'repeat': {
        const rest = this.repeat(
          shape.of,
          Math.max(0, shape.min - 1),
          shape.max === null ? null : shape.max - 1,
        );
        return this.#pair(this.derivative(shape.of, point), rest);
      }
    }
  }

  /** The points at which the derivative may change, beside 0: those between them all have the same. */
  cuts(of: Language): ReadonlySet<number> {
    const known = this.#cuts.get(of);
    if (known !== undefined) return known;
    const made = this.#makeCuts(of.shape);
    this.#cuts.set(of, made);
    return made;
  }

  #makeCuts(shape: Shape): ReadonlySet<number> {
    switch (shape.kind) {
      case 'empty':
        return new Set();
      case 'chars':
        return new Set(shape.ranges.flatMap(([low, high]) => [low, high + 1]));
      case 'concat': {
        const head = this.cuts(shape.head);
        return shape.head.nullable ? new Set([...head, ...this.cuts(shape.tail)]) : head;
      }
      case 'union':
      case 'both':
        return new Set(shape.parts.flatMap((part) => [...this.cuts(part)]));
      default:
        return this.cuts(shape.of);
    }
  }

  /** The language of this name, made once. */
  named(name: string, make: () => Language): Language {
    const known = this.#named.get(name);
    if (known !== undefined) return known;
    const made = make();
    this.#named.set(name, made);
    return made;
  }

  has(of: Language, value: string): boolean {
    let state = of;
    for (const character of value) state = this.derivative(state, character.codePointAt(0) ?? 0);
    return state.nullable;
  }

  /** @throws StompError INVALID_REQUEST beyond what the form may cost. */
  spend(steps: number, where?: string): void {
    this.#work.spend(steps, where);
  }

  #intern(key: string, shape: Shape, nullable: boolean): Language {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (this.#known.size >= maxExpressions) throw tooHard(this.#work.where);
    const made = { id: this.#known.size, nullable, shape };
    this.#known.set(key, made);
    return made;
  }
}

function isNone({ shape }: Language, min: number, max: number | null): boolean {
  return (max !== null && min > max) || (min > 0 && shape.kind === 'union' && shape.parts.length === 0);
}

function isStar({ shape }: Language): boolean {
  return shape.kind === 'repeat' && shape.min === 0 && shape.max === null;
}

function flatten(kind: 'union' | 'both', parts: readonly Language[]): Language[] {
  return parts.flatMap((part) =>
    part.shape.kind === kind ? (part.shape as { parts: readonly Language[] }).parts : [part],
  );
}
