/** What schemas that hold together say about values of one type. */
import type { Automaton } from '../regular/automaton.js';
import { formatLanguage } from '../regular/formats.js';
import type { Language, Languages } from '../regular/language.js';
import { numberAutomaton, type Spend } from '../regular/number-automaton.js';
import { patternLanguage } from '../regular/pattern-language.js';
import { allPoints } from '../regular/ranges.js';
import { said, type Together } from './conjunction.js';
import type { Schema } from './document.js';
import { allTypes, type Counts, type PatternSource, type ValueType } from './keywords.js';

export function typesOf(together: Together): ValueType[] {
  return allTypes.filter((type) =>
    together.every(({ types }) => types === undefined || types.includes(type)),
  );
}

export function countsOf(parts: readonly Counts[]): Counts {
  const limits = parts.flatMap(({ max }) => (max === null ? [] : [max]));
  return {
    min: Math.max(0, ...parts.map(({ min }) => min)),
    max: limits.length === 0 ? null : Math.min(...limits),
  };
}

/** Whether lengths are all that is said about strings. */
export function areStringsPlain(together: Together): boolean {
  return said(together, 'strings').every(
    ({ pattern, format }) => pattern === undefined && format === undefined,
  );
}

/** The format that is all that is said about strings; undefined where there is none, or more. */
export function onlyFormat(together: Together): string | undefined {
  const [first, ...more] = said(together, 'strings');
  if (first === undefined || more.length > 0) return undefined;
  const { min, max, pattern, format } = first;
  return min === 0 && max === null && pattern === undefined ? format : undefined;
}

/** The strings that are accepted. @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function stringLanguage(languages: Languages, together: Together): Language {
  const parts = said(together, 'strings');
  const { min, max } = countsOf(parts);
  return languages.both([
    ...parts.flatMap(({ pattern }) => (pattern ? [languageOf(languages, pattern)] : [])),
    ...parts.flatMap(({ format }) => (format ? [formatLanguage(languages, format) ?? languages.never] : [])),
    languages.repeat(languages.chars(allPoints), min, max),
  ]);
}

export function languageOf(languages: Languages, pattern: PatternSource): Language {
  const { source, where } = pattern;
  return languages.named(`pattern ${source}`, () => patternLanguage(languages, source, where));
}

/** Undefined when nothing is said about numbers. @throws StompError INVALID_REQUEST */
export function numbersAutomaton(
  together: Together,
  integer: boolean,
  spend: Spend,
  anyDigits = false,
): Automaton | undefined {
  const parts = said(together, 'numbers');
  if (parts.length === 0) return undefined;
  const rules = {
    integer,
    anyDigits,
    lower: parts.flatMap(({ lower }) => lower),
    upper: parts.flatMap(({ upper }) => upper),
    multiples: parts.flatMap(({ multiples }) => multiples),
  };
  return numberAutomaton(rules, whereOf(together), spend);
}

/** What elements of a list must satisfy, by their place. */
export interface Elements {
  readonly counts: Counts;
  /** Places that differ from those after them. */
  readonly prefix: number;
  at(index: number): readonly Schema[];
}

export function elementsOf(together: Together): Elements {
  const parts = said(together, 'arrays');
  return {
    counts: countsOf(parts),
    prefix: Math.max(0, ...parts.map(({ prefix }) => prefix.length)),
    at: (index) => parts.flatMap(({ prefix, items }) => prefix[index] ?? items ?? []),
  };
}

/** Names that are declared or required, in the order in which they are written. */
export function namesOf(together: Together): string[] {
  const parts = said(together, 'objects');
  const declared = parts.flatMap(({ properties }) => [...properties.keys()]);
  return [...new Set([...declared, ...requiredOf(together)])];
}

export function requiredOf(together: Together): Set<string> {
  return new Set(said(together, 'objects').flatMap(({ required }) => required));
}

/** What the member of this name must satisfy. */
export function memberOf(languages: Languages, together: Together, name: string): Schema[] {
  return said(together, 'objects').flatMap(({ properties, patterns, additional }) => {
    const declared = properties.get(name);
    const matching = patterns.filter((pattern) => languages.has(languageOf(languages, pattern), name));
    const own = [...(declared ? [declared] : []), ...matching.map(({ schema }) => schema)];
    return own.length > 0 || additional === undefined ? own : [additional];
  });
}

/** What the names of members must satisfy. */
export function nameSchemas(together: Together): Schema[] {
  return said(together, 'objects').flatMap(({ names }) => (names === undefined ? [] : [names]));
}

export function whereOf(together: Together): string {
  return together[0]?.schema.where ?? 'schema';
}
