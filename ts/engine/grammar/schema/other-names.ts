/** Names of members that a schema does not declare, in classes: those of one class match the same patterns. */
import type { Language, Languages } from '../regular/language.js';
import { said, type Together } from './conjunction.js';
import { beyond, type Schema } from './document.js';
import { languageOf, namesOf } from './merged.js';

export interface NameClass {
  readonly names: Language;
  /** What members of these names must satisfy. */
  readonly schemas: readonly Schema[];
  /** Every name belongs to it. */
  readonly isAny: boolean;
}

/** Each doubles the number of classes. */
const maxPatterns = 6;

/** @param allowed the names that may come at all. */
export function otherNames(languages: Languages, together: Together, allowed: Language): NameClass[] {
  const parts = said(together, 'objects');
  const patterns = parts.flatMap((part) => part.patterns);
  const distinct = [...new Set(patterns.map((pattern) => languageOf(languages, pattern)))];
  const [first] = patterns;
  if (distinct.length > maxPatterns && first !== undefined) {
    throw beyond(first.where, `is one of more than ${maxPatterns} patterns that hold together; use fewer`);
  }
  const declared = languages.not(languages.union(namesOf(together).map((name) => languages.text(name))));
  return Array.from({ length: 2 ** distinct.length }, (_, choice) => {
    const matched = new Set(distinct.filter((_, i) => ((choice >> i) & 1) === 1));
    const classes = distinct.map((language) => (matched.has(language) ? language : languages.not(language)));
    const names = languages.both([allowed, declared, ...classes]);
    const schemas = parts.flatMap((part) => {
      const matching = part.patterns.filter((pattern) => matched.has(languageOf(languages, pattern)));
      const isFree = matching.length === 0 && part.additional !== undefined;
      return isFree && part.additional ? [part.additional] : matching.map(({ schema }) => schema);
    });
    return { names, schemas, isAny: names === languages.all };
  });
}
