/**
 * Parser of regular expressions as JSON Schema has them: ECMA-262 with the flag `u`. Punctuation may be escaped
 * although it need not be, as schemas that other languages write have it.
 */
import { StompError } from '../../../errors.js';
import { dot, namedClass, propertyClass } from './pattern-classes.js';
import { complement, normalRanges, type Range, type Ranges } from './ranges.js';

export type Pattern =
  | { readonly kind: 'set'; readonly ranges: Ranges }
  | { readonly kind: 'sequence'; readonly items: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly branches: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly item: Pattern; readonly min: number; readonly max: number | null }
  | { readonly kind: 'start' }
  | { readonly kind: 'end' };

const maxLength = 2048;
const maxNesting = 50;
const maxCount = 100_000;

/**
 * @param where what holds the pattern, for messages.
 * @throws StompError INVALID_REQUEST for what is no pattern or a too large one; UNSUPPORTED_FIELD for assertions
 *   other than `^` and `$`, for references to groups and for modifiers.
 */
export function parsePattern(source: string, where: string): Pattern {
  return new PatternParser(source, where).parse();
}

class PatternParser {
  readonly #characters: readonly string[];
  readonly #where: string;
  #at = 0;
  #nesting = 0;

  constructor(source: string, where: string) {
    this.#where = where;
    if (source.length > maxLength) throw this.#invalid(`is longer than ${maxLength} characters`);
    this.#characters = [...source];
  }

  parse(): Pattern {
    const pattern = this.#choice();
    if (this.#at < this.#characters.length) throw this.#invalid('has a ")" without its "("');
    return pattern;
  }

  #choice(): Pattern {
    const branches = [this.#sequence()];
    while (this.#skip('|')) branches.push(this.#sequence());
    const [first] = branches;
    return branches.length === 1 && first !== undefined ? first : { kind: 'choice', branches };
  }

  #sequence(): Pattern {
    const items: Pattern[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      items.push(this.#quantified());
    }
    return { kind: 'sequence', items };
  }

  #quantified(): Pattern {
    const item = this.#atom();
    const count = this.#quantifier();
    if (count === undefined) return item;
    if (item.kind === 'start' || item.kind === 'end') throw this.#invalid('repeats "^" or "$"');
    this.#skip('?');
    return { kind: 'repeat', item, ...count };
  }

  #quantifier(): { min: number; max: number | null } | undefined {
    if (this.#skip('*')) return { min: 0, max: null };
    if (this.#skip('+')) return { min: 1, max: null };
    if (this.#skip('?')) return { min: 0, max: 1 };
    return this.#skip('{') ? this.#counts() : undefined;
  }

  #counts(): { min: number; max: number | null } {
    const min = this.#count();
    let max: number | null | undefined = min;
    if (this.#skip(',')) max = this.#peek() === '}' ? null : this.#count();
    if (min === undefined || max === undefined || !this.#skip('}')) {
      throw this.#invalid('has a "{" that begins no count; escape it');
    }
    if (max !== null && max < min) throw this.#invalid('has a count whose end is below its beginning');
    return { min, max };
  }

  #count(): number | undefined {
    let digits = '';
    while (/^[0-9]$/.test(this.#peek() ?? '')) digits += this.#take();
    if (digits === '') return undefined;
    if (Number(digits) > maxCount) throw this.#invalid(`counts to more than ${maxCount}`);
    return Number(digits);
  }

  #atom(): Pattern {
    const next = this.#take();
    switch (next) {
      case '^':
        return { kind: 'start' };
      case '$':
        return { kind: 'end' };
      case '.':
        return { kind: 'set', ranges: dot };
      case '(':
        return this.#group();
      case '[':
        return { kind: 'set', ranges: this.#class() };
      case '\\':
        return { kind: 'set', ranges: this.#escape(false) };
      default:
        if ('*+?{}]'.includes(next)) throw this.#invalid(`has a "${next}" out of place; escape it`);
        return { kind: 'set', ranges: single(next) };
    }
  }

  #group(): Pattern {
    this.#nesting += 1;
    if (this.#nesting > maxNesting) throw this.#invalid(`nests more than ${maxNesting} groups`);
    if (this.#skip('?')) this.#groupKind();
    const pattern = this.#choice();
    if (!this.#skip(')')) throw this.#invalid('has a "(" without its ")"');
    this.#nesting -= 1;
    return pattern;
  }

  #groupKind(): void {
    if (this.#skip(':')) return;
    const isNamed = this.#skip('<') && !'=!'.includes(this.#peek() ?? '=');
    if (!isNamed) throw this.#unsupported('looks ahead or behind, or changes flags');
    while (/^[\p{ID_Continue}$]$/u.test(this.#peek() ?? '')) this.#at += 1;
    if (!this.#skip('>')) throw this.#invalid('has a group whose name is none');
  }

  #class(): Ranges {
    const negated = this.#skip('^');
    const ranges: Range[] = [];
    while (!this.#skip(']')) {
      const low = this.#classItem();
      const isRange = this.#peek() === '-' && (this.#characters[this.#at + 1] ?? ']') !== ']';
      ranges.push(...(isRange ? this.#range(low) : low));
    }
    const normal = normalRanges(ranges);
    return negated ? complement(normal) : normal;
  }

  #range(low: Ranges): Ranges {
    this.#at += 1;
    const high = this.#classItem();
    const [from, to] = [onlyPoint(low), onlyPoint(high)];
    if (from === undefined || to === undefined || from > to) throw this.#invalid('has a range without order');
    return [[from, to]];
  }

  #classItem(): Ranges {
    const next = this.#take();
    return next === '\\' ? this.#escape(true) : single(next);
  }

  #escape(inClass: boolean): Ranges {
    const letter = this.#take();
    const named = namedClass(letter);
    if (named !== undefined) return named;
    if (letter === 'p' || letter === 'P') return this.#property(letter === 'P');
    if (letter === 'b' && inClass) return single('\b');
    if (letter === 'b' || letter === 'B') throw this.#unsupported('asserts the end of a word');
    if (/^[1-9k]$/.test(letter)) throw this.#unsupported('refers to a group');
    return single(String.fromCodePoint(this.#characterEscape(letter)));
  }

  #characterEscape(letter: string): number {
    const control = 'tnvfr'.indexOf(letter);
    if (control >= 0) return [0x09, 0x0a, 0x0b, 0x0c, 0x0d][control] ?? 0;
    if (letter === 'c') return this.#matching(/^[A-Za-z]$/).charCodeAt(0) % 32;
    if (letter === 'x') return this.#hex(2);
    if (letter === 'u') return this.#unicode();
    if (letter === '0' && !/^[0-9]$/.test(this.#peek() ?? '')) return 0;
    if (/^[!-/:-@[-`{-~ ]$/.test(letter)) return letter.charCodeAt(0);
    throw this.#invalid(`has "\\${letter}", which means nothing`);
  }

  #unicode(): number {
    if (this.#skip('{')) return this.#braced();
    const high = this.#hex(4);
    const isPair =
      high >= 0xd800 && high <= 0xdbff && this.#peek() === '\\' && this.#characters[this.#at + 1] === 'u';
    if (!isPair) return this.#whole(high);
    this.#at += 2;
    const low = this.#hex(4);
    if (low < 0xdc00 || low > 0xdfff) throw this.#invalid('has half a pair of surrogates');
    return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
  }

  #braced(): number {
    let digits = '';
    while (this.#peek() !== '}') digits += this.#matching(/^[0-9A-Fa-f]$/);
    this.#at += 1;
    const point = Number.parseInt(digits === '' ? 'none' : digits, 16);
    if (!(point <= 0x10ffff)) throw this.#invalid('has "\\u{…}" that is no character');
    return this.#whole(point);
  }

  #whole(point: number): number {
    if (point >= 0xd800 && point <= 0xdfff) throw this.#invalid('has half a pair of surrogates');
    return point;
  }

  #hex(count: number): number {
    let digits = '';
    for (let i = 0; i < count; i++) digits += this.#matching(/^[0-9A-Fa-f]$/);
    return Number.parseInt(digits, 16);
  }

  #property(negated: boolean): Ranges {
    let name = '';
    if (this.#skip('{')) while (this.#peek() !== '}') name += this.#take();
    const ranges = propertyClass(name);
    if (ranges === undefined) throw this.#invalid('has "\\p" without a property of Unicode');
    this.#at += 1;
    return negated ? complement(ranges) : ranges;
  }

  #matching(kind: RegExp): string {
    const next = this.#take();
    if (!kind.test(next)) throw this.#invalid(`has an escape that "${next}" does not belong to`);
    return next;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(): string {
    const next = this.#peek();
    if (next === undefined) throw this.#invalid('ends too early');
    this.#at += 1;
    return next;
  }

  #skip(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }

  #invalid(what: string): StompError {
    return new StompError('INVALID_REQUEST', `The pattern in "${this.#where}" ${what}.`, {
      fields: { field: this.#where },
    });
  }

  #unsupported(what: string): StompError {
    const message = `The pattern in "${this.#where}" ${what}, which is not supported; leave that out.`;
    return new StompError('UNSUPPORTED_FIELD', message, { fields: { field: this.#where } });
  }
}

function single(character: string): Ranges {
  const point = character.codePointAt(0) ?? 0;
  return [[point, point]];
}

/** The one character of a set that is written as one; undefined for classes such as `\d`. */
function onlyPoint(ranges: Ranges): number | undefined {
  const [first] = ranges;
  return ranges.length === 1 && first !== undefined && first[0] === first[1] ? first[0] : undefined;
}
