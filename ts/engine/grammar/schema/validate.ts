/** Whether a value satisfies schemas: for values that a schema lists beside other demands. */

import { isMultiple } from '../regular/decimal.js';
import { formatLanguage } from '../regular/formats.js';
import type { Languages } from '../regular/language.js';
import type { Conjunctions } from './conjunction.js';
import type { Schema } from './document.js';
import type {
  ArrayKeywords,
  Counts,
  Keywords,
  NumberKeywords,
  ObjectKeywords,
  StringKeywords,
  ValueType,
} from './keywords.js';
import { languageOf } from './merged.js';

export class Validator {
  readonly #conjunctions: Conjunctions;
  readonly #languages: Languages;
  readonly #valueKeys = new Map<readonly unknown[], ReadonlySet<string>>();

  constructor(conjunctions: Conjunctions, languages: Languages) {
    this.#conjunctions = conjunctions;
    this.#languages = languages;
  }

  accepts(schema: Schema, value: unknown): boolean {
    if (typeof schema.value === 'boolean') return schema.value;
    const keywords = this.#conjunctions.keywords(schema);
    const { ref, allOf, anyOf, oneOf } = keywords;
    const holds = (part: Schema) => this.accepts(part, value);
    if (!this.satisfies(keywords, value)) return false;
    if (ref !== undefined && !holds(ref)) return false;
    if (!allOf.every(holds) || (anyOf !== undefined && !anyOf.some(holds))) return false;
    return oneOf === undefined || oneOf.filter(holds).length === 1;
  }

  /** The schema's own keywords alone, without references and combinations. */
  satisfies(keywords: Keywords, value: unknown): boolean {
    const { types, values } = keywords;
    this.#languages.spend(1, keywords.schema.where);
    if (types !== undefined && !types.includes(typeOf(value))) return false;
    return values.every((list) => this.#keysOf(list).has(valueKey(value))) && this.#byType(keywords, value);
  }

  #byType({ strings, numbers, arrays, objects }: Keywords, value: unknown): boolean {
    if (typeof value === 'string') return strings === undefined || this.#string(strings, value);
    if (typeof value === 'number') return numbers === undefined || isWithin(numbers, value);
    if (Array.isArray(value)) return arrays === undefined || this.#array(arrays, value);
    if (typeof value !== 'object' || value === null || objects === undefined) return true;
    return this.#object(objects, value as Record<string, unknown>);
  }

  #keysOf(list: readonly unknown[]): ReadonlySet<string> {
    const known = this.#valueKeys.get(list);
    if (known !== undefined) return known;
    const made = new Set(list.map(valueKey));
    this.#valueKeys.set(list, made);
    return made;
  }

  #string(keywords: StringKeywords, value: string): boolean {
    const { pattern, format } = keywords;
    const languages = this.#languages;
    if (!isCounted(keywords, [...value].length)) return false;
    if (pattern !== undefined && !languages.has(languageOf(languages, pattern), value)) return false;
    const language = format === undefined ? undefined : formatLanguage(languages, format);
    return language === undefined || languages.has(language, value);
  }

  #array(keywords: ArrayKeywords, value: readonly unknown[]): boolean {
    if (!isCounted(keywords, value.length)) return false;
    return value.every((element, i) => {
      const schema = keywords.prefix[i] ?? keywords.items;
      return schema === undefined || this.accepts(schema, element);
    });
  }

  #object(keywords: ObjectKeywords, value: Readonly<Record<string, unknown>>): boolean {
    const names = Object.keys(value);
    if (!isCounted(keywords, names.length)) return false;
    if (!keywords.required.every((name) => Object.hasOwn(value, name))) return false;
    return names.every((name) => this.#member(keywords, name, value[name]));
  }

  #member(
    { properties, patterns, additional, names }: ObjectKeywords,
    name: string,
    value: unknown,
  ): boolean {
    if (names !== undefined && !this.accepts(names, name)) return false;
    const declared = properties.get(name);
    const matching = patterns.filter((pattern) =>
      this.#languages.has(languageOf(this.#languages, pattern), name),
    );
    const own = [...(declared ? [declared] : []), ...matching.map(({ schema }) => schema)];
    if (own.length > 0) return own.every((schema) => this.accepts(schema, value));
    return additional === undefined || this.accepts(additional, value);
  }
}

function typeOf(value: unknown): ValueType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'fractional';
  if (typeof value === 'string' || typeof value === 'boolean') return typeof value as 'string' | 'boolean';
  return 'object';
}

function isCounted({ min, max }: Counts, count: number): boolean {
  return count >= min && (max === null || count <= max);
}

function isWithin({ lower, upper, multiples }: NumberKeywords, value: number): boolean {
  const isAbove = lower.every((bound) => value > bound.value || (!bound.exclusive && value === bound.value));
  const isBelow = upper.every((bound) => value < bound.value || (!bound.exclusive && value === bound.value));
  return isAbove && isBelow && multiples.every((multiple) => isMultiple(value, multiple));
}

/** Equal for values that JSON Schema calls equal. */
export function valueKey(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueKey).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value === 0 ? 0 : value);
  const members = Object.entries(value).map(([name, held]) => `${JSON.stringify(name)}:${valueKey(held)}`);
  return `{${members.sort().join(',')}}`;
}
