/**
 * Whether provably nothing satisfies schemas together. It looks a few levels deep and gives up there: "no" may also
 * mean that it is not plain. For `oneOf`, whose branches must exclude each other.
 */
import { isEmpty as isEmptyAutomaton, languageAutomaton } from '../regular/automaton.js';
import type { Languages } from '../regular/language.js';
import type { Spend } from '../regular/number-automaton.js';
import { type Conjunctions, said, type Together, togetherKey } from './conjunction.js';
import type { Schema } from './document.js';
import type { ValueType } from './keywords.js';
import {
  areStringsPlain,
  countsOf,
  elementsOf,
  memberOf,
  nameSchemas,
  numbersAutomaton,
  requiredOf,
  stringLanguage,
  typesOf,
  whereOf,
} from './merged.js';
import type { Validator } from './validate.js';

const maxDepth = 4;

export class Emptiness {
  readonly #conjunctions: Conjunctions;
  readonly #languages: Languages;
  readonly #validator: Validator;
  readonly #spend: Spend;
  readonly #known = new Map<string, boolean>();

  constructor(conjunctions: Conjunctions, languages: Languages, validator: Validator) {
    this.#conjunctions = conjunctions;
    this.#languages = languages;
    this.#validator = validator;
    this.#spend = (steps, where) => languages.spend(steps, where);
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
  isEmpty(schemas: readonly Schema[], depth = 0): boolean {
    if (depth > maxDepth) return false;
    return this.#conjunctions.alternatives(schemas, false).every((together) => this.#isNone(together, depth));
  }

  #isNone(together: Together, depth: number): boolean {
    const key = `${depth}:${togetherKey(together)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const made = this.#prove(together, depth);
    this.#known.set(key, made);
    return made;
  }

  #prove(together: Together, depth: number): boolean {
    const values = valuesOf(this.#validator, together);
    if (values !== undefined) return values.length === 0;
    return typesOf(together).every((type) => this.#hasNone(together, type, depth));
  }

  #hasNone(together: Together, type: ValueType, depth: number): boolean {
    switch (type) {
      case 'string':
        return this.#hasNoString(together);
      case 'integer':
      case 'fractional': {
        const automaton = numbersAutomaton(together, type === 'integer', this.#spend, true);
        return automaton !== undefined && isEmptyAutomaton(automaton);
      }
      case 'array':
        return this.#hasNoArray(together, depth);
      case 'object':
        return this.#hasNoObject(together, depth);
      default:
        return false;
    }
  }

  #hasNoString(together: Together): boolean {
    const { min, max } = countsOf(said(together, 'strings'));
    if (areStringsPlain(together)) return max !== null && min > max;
    const language = stringLanguage(this.#languages, together);
    return isEmptyAutomaton(languageAutomaton(this.#languages, language, whereOf(together)));
  }

  #hasNoArray(together: Together, depth: number): boolean {
    const { counts, prefix, at } = elementsOf(together);
    if (counts.max !== null && counts.min > counts.max) return true;
    const needed = Math.min(counts.min, prefix + 1);
    return Array.from({ length: needed }).some((_, i) => this.isEmpty(at(i), depth + 1));
  }

  #hasNoObject(together: Together, depth: number): boolean {
    const { min, max } = countsOf(said(together, 'objects'));
    const required = [...requiredOf(together)];
    if (max !== null && Math.max(min, required.length) > max) return true;
    const names = nameSchemas(together);
    return required.some(
      (name) =>
        !names.every((schema) => this.#validator.accepts(schema, name)) ||
        this.isEmpty(memberOf(this.#languages, together, name), depth + 1),
    );
  }
}

/** The values that are left where schemas list them; undefined where they do not. */
export function valuesOf(validator: Validator, together: Together): unknown[] | undefined {
  const [list] = together.flatMap(({ values }) => values);
  return list?.filter((value) => together.every((keywords) => validator.satisfies(keywords, value)));
}
