/**
 * What must hold together at one place of an answer. References, `allOf`, `anyOf` and `oneOf` are multiplied out,
 * so that what is left are alternatives: sets of schemas whose own keywords all hold.
 */

import type { Work } from '../work.js';
import { beyond, invalid, type Schema, type SchemaDocument, unsupported } from './document.js';
import { type Keywords, readKeywords } from './keywords.js';

/** Schemas that hold together, in the order in which they were found; empty: any value. */
export type Together = readonly Keywords[];

/** Ways in which the choices of one place may combine. */
const maxAlternatives = 1000;
/** Branches of a `oneOf`, each of which is compared with each. */
const maxBranches = 100;

interface Group {
  readonly branches: readonly Schema[];
  /** Where a `oneOf` stands: at most one branch may hold. */
  readonly oneOf: string | undefined;
}

interface Partial {
  readonly together: Map<number, Keywords>;
  readonly seen: Set<number>;
  readonly groups: Group[];
}

export class Conjunctions {
  readonly #document: SchemaDocument;
  readonly #work: Work;
  readonly #keywords = new Map<number, Keywords>();
  readonly #sound = new Set<number>();
  /** Whether provably nothing satisfies all of them. */
  readonly #isEmpty: (schemas: readonly Schema[]) => boolean;

  constructor(document: SchemaDocument, work: Work, isEmpty: (schemas: readonly Schema[]) => boolean) {
    this.#document = document;
    this.#work = work;
    this.#isEmpty = isEmpty;
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
  keywords(schema: Schema): Keywords {
    this.#checkProgress(schema);
    return this.#read(schema);
  }

  #read(schema: Schema): Keywords {
    const known = this.#keywords.get(schema.id);
    if (known !== undefined) return known;
    const made = readKeywords(this.#document, schema);
    this.#keywords.set(schema.id, made);
    return made;
  }

  /**
   * The alternatives of what satisfies all of `schemas`; none when nothing does.
   * @param checked whether branches of a `oneOf` must be shown to exclude each other.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
   */
  alternatives(schemas: readonly Schema[], checked = true): Together[] {
    for (const schema of schemas) this.#checkProgress(schema);
    const found: Together[] = [];
    this.#expand({ together: new Map(), seen: new Set(), groups: [] }, schemas, checked, found);
    return found;
  }

  #expand(partial: Partial, schemas: readonly Schema[], checked: boolean, found: Together[]): void {
    for (const schema of schemas) if (!this.#add(partial, schema)) return;
    const group = partial.groups.shift();
    if (group === undefined) {
      found.push([...partial.together.values()]);
      const [first] = schemas;
      if (found.length > maxAlternatives && first !== undefined) {
        throw beyond(first.where, `combines its choices in more than ${maxAlternatives} ways; use fewer`);
      }
      return;
    }
    if (checked && group.oneOf !== undefined) this.#checkExclusive(partial, group.branches, group.oneOf);
    for (const branch of group.branches) {
      this.#expand(this.#copy(partial), [branch], checked, found);
    }
  }

  #copy({ together, seen, groups }: Partial): Partial {
    this.#work.spend(1 + seen.size + groups.length);
    return { together: new Map(together), seen: new Set(seen), groups: [...groups] };
  }

  /** Returns false when nothing satisfies it. */
  #add(partial: Partial, schema: Schema): boolean {
    if (partial.seen.has(schema.id)) return true;
    partial.seen.add(schema.id);
    if (typeof schema.value === 'boolean') return schema.value;
    const keywords = this.#read(schema);
    if (saysSomething(keywords)) partial.together.set(schema.id, keywords);
    if (keywords.anyOf) partial.groups.push({ branches: keywords.anyOf, oneOf: undefined });
    if (keywords.oneOf) partial.groups.push({ branches: keywords.oneOf, oneOf: `${schema.where}/oneOf` });
    const inPlace = keywords.ref === undefined ? keywords.allOf : [keywords.ref, ...keywords.allOf];
    return inPlace.every((part) => this.#add(partial, part));
  }

  #checkExclusive({ together }: Partial, branches: readonly Schema[], where: string): void {
    if (branches.length > maxBranches) throw beyond(where, `must have at most ${maxBranches} branches`);
    const context = [...together.values()].map((keywords) => keywords.schema);
    for (const [i, branch] of branches.entries()) {
      const overlaps = branches.slice(0, i).some((other) => !this.#isEmpty([...context, branch, other]));
      if (overlaps) throw unsupported(where, ' whose branches do not plainly exclude each other');
    }
  }

  /** References that lead back to themselves without a step into the value mean nothing. */
  #checkProgress(schema: Schema, above: readonly number[] = []): void {
    if (this.#sound.has(schema.id) || typeof schema.value === 'boolean') return;
    if (above.includes(schema.id)) throw invalid(schema.where, 'refers to itself without an end');
    if (above.length > maxChain) throw beyond(schema.where, `is the end of more than ${maxChain} references`);
    const { ref, allOf, anyOf = [], oneOf = [] } = this.#read(schema);
    for (const part of [...(ref ? [ref] : []), ...allOf, ...anyOf, ...oneOf]) {
      this.#checkProgress(part, [...above, schema.id]);
    }
    this.#sound.add(schema.id);
  }
}

/** References and combinations that may follow on each other without a step into the value. */
const maxChain = 200;

function saysSomething({ types, values, strings, numbers, arrays, objects }: Keywords): boolean {
  return values.length > 0 || [types, strings, numbers, arrays, objects].some((part) => part !== undefined);
}

/** Equal for the same schemas, in whatever order. */
export function togetherKey(together: Together): string {
  return together
    .map(({ schema }) => schema.id)
    .sort((a, b) => a - b)
    .join(',');
}

/** What several schemas say about one kind of value. */
export function said<K extends 'strings' | 'numbers' | 'arrays' | 'objects'>(
  together: Together,
  kind: K,
): NonNullable<Keywords[K]>[] {
  return together.flatMap((keywords) => {
    const part = keywords[kind];
    return part === undefined ? [] : [part as NonNullable<Keywords[K]>];
  });
}
