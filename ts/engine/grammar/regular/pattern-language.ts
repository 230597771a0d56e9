/** The texts in which a pattern matches somewhere. */
import { StompError } from '../../../errors.js';
import type { Language, Languages } from './language.js';
import { type Pattern, parsePattern } from './pattern.js';

/**
 * What lies beside a part of a pattern: more of the text, which may be anything; the text's end, which `^` or `$`
 * has named; or more of the pattern.
 */
type Side = 'open' | 'closed' | 'inner';

/**
 * @param where what holds the pattern, for messages.
 * @throws StompError as `parsePattern`; UNSUPPORTED_FIELD for `^` and `$` in the midst of a pattern.
 */
export function patternLanguage(languages: Languages, source: string, where: string): Language {
  const compiler = new PatternCompiler(languages, where);
  return compiler.compile(parsePattern(source, where), 'open', 'open');
}

class PatternCompiler {
  readonly #languages: Languages;
  readonly #where: string;

  constructor(languages: Languages, where: string) {
    this.#languages = languages;
    this.#where = where;
  }

  compile(pattern: Pattern, left: Side, right: Side): Language {
    switch (pattern.kind) {
      case 'choice':
        return this.#languages.union(pattern.branches.map((branch) => this.compile(branch, left, right)));
      case 'sequence':
        return this.#sequence(pattern.items, left, right);
      case 'start':
      case 'end':
        return this.#sequence([pattern], left, right);
      case 'set':
        return this.#beside(this.#languages.chars(pattern.ranges), left, right);
      case 'repeat': {
        const item = this.compile(pattern.item, 'inner', 'inner');
        return this.#beside(this.#languages.repeat(item, pattern.min, pattern.max), left, right);
      }
    }
  }

  #sequence(items: readonly Pattern[], left: Side, right: Side): Language {
    const begins = items.findIndex(({ kind }) => kind !== 'start');
    const first = begins < 0 ? items.length : begins;
    const last = items.findLastIndex(({ kind }) => kind !== 'end');
    if (first > last) return this.#nothing(items, left, right);
    const before = first > 0 ? this.#close(left) : left;
    const after = last < items.length - 1 ? this.#close(right) : right;
    const parts = items.slice(first, last + 1);
    return this.#languages.concat(
      parts.map((item, i) => {
        const isLast = i === parts.length - 1;
        return this.compile(item, i === 0 ? before : 'inner', isLast ? after : 'inner');
      }),
    );
  }

  /** A sequence of assertions alone, or of nothing. */
  #nothing(items: readonly Pattern[], left: Side, right: Side): Language {
    const before = items.some(({ kind }) => kind === 'start') ? this.#close(left) : left;
    const after = items.some(({ kind }) => kind === 'end') ? this.#close(right) : right;
    return this.#beside(this.#languages.empty, before, after);
  }

  #close(side: Side): Side {
    if (side !== 'inner') return 'closed';
    throw new StompError(
      'UNSUPPORTED_FIELD',
      `The pattern in "${this.#where}" has "^" or "$" in its midst, which is not supported; leave that out.`,
      { fields: { field: this.#where } },
    );
  }

  #beside(language: Language, left: Side, right: Side): Language {
    const around = (side: Side) => (side === 'open' ? [this.#languages.all] : []);
    return this.#languages.concat([...around(left), language, ...around(right)]);
  }
}
