/** Reads the keywords of one schema, each with its type, and refuses those that nobody asked for. */
import { beyond, invalid, type Schema, type SchemaDocument, unsupported } from './document.js';

/** No answer is as long as this, so a limit beyond it is none. */
const endless = 1_000_000_000;

export class KeywordReader {
  readonly #document: SchemaDocument;
  readonly #schema: Schema;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();

  constructor(document: SchemaDocument, schema: Schema) {
    this.#document = document;
    this.#schema = schema;
    this.#values = typeof schema.value === 'object' ? schema.value : {};
  }

  /** What the keyword is called in messages. */
  where(keyword: string): string {
    return this.#document.pointer(this.#schema, keyword);
  }

  has(keyword: string): boolean {
    return Object.hasOwn(this.#values, keyword);
  }

  raw(keyword: string): unknown {
    this.#known.add(keyword);
    return this.has(keyword) ? this.#values[keyword] : undefined;
  }

  skip(keywords: readonly string[]): void {
    for (const keyword of keywords) this.#known.add(keyword);
  }

  text(keyword: string): string | undefined {
    return this.#typed(keyword, (value): value is string => typeof value === 'string', 'a text');
  }

  number(keyword: string): number | undefined {
    return this.#typed(keyword, (value): value is number => typeof value === 'number', 'a number');
  }

  flag(keyword: string): boolean | undefined {
    return this.#typed(keyword, (value): value is boolean => typeof value === 'boolean', 'true or false');
  }

  list(keyword: string): readonly unknown[] | undefined {
    return this.#typed(keyword, (value): value is readonly unknown[] => Array.isArray(value), 'a list');
  }

  texts(keyword: string): readonly string[] | undefined {
    const isTexts = (value: unknown): value is readonly string[] =>
      Array.isArray(value) && value.every((entry) => typeof entry === 'string');
    return this.#typed(keyword, isTexts, 'a list of texts');
  }

  /** A pair of limits; undefined when both are absent. */
  counts(least: string, most: string): { min: number; max: number | null } | undefined {
    const [min, max] = [this.#count(least), this.#count(most)];
    if (min === undefined && max === undefined) return undefined;
    if (min !== undefined && min > endless) throw beyond(this.where(least), `must be at most ${endless}`);
    return { min: min ?? 0, max: max === undefined || max > endless ? null : max };
  }

  #count(keyword: string): number | undefined {
    const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) >= 0;
    return this.#typed(keyword, isCount, 'an integer, 0 or more');
  }

  schema(keyword: string): Schema | undefined {
    const value = this.raw(keyword);
    return value === undefined ? undefined : this.#document.at(this.#schema, value, keyword);
  }

  schemas(keyword: string, min: number): readonly Schema[] | undefined {
    const list = this.list(keyword);
    if (list !== undefined && list.length < min) throw invalid(this.where(keyword), 'must not be empty');
    return list?.map((value, i) => this.#document.at(this.#schema, value, keyword, i));
  }

  map(keyword: string): ReadonlyMap<string, Schema> | undefined {
    const isMap = (value: unknown): value is object =>
      typeof value === 'object' && value !== null && !Array.isArray(value);
    const value = this.#typed(keyword, isMap, 'an object');
    if (value === undefined) return undefined;
    const entries = Object.entries(value);
    return new Map(
      entries.map(([name, held]) => [name, this.#document.at(this.#schema, held, keyword, name)]),
    );
  }

  #typed<T>(keyword: string, is: (value: unknown) => value is T, allowed: string): T | undefined {
    const value = this.raw(keyword);
    if (value === undefined || is(value)) return value;
    throw invalid(this.where(keyword), `must be ${allowed}`);
  }

  /** Call last. Keywords that begin with `x-` are notes by custom. @throws StompError UNSUPPORTED_FIELD */
  end(): void {
    for (const keyword of Object.keys(this.#values)) {
      if (this.#known.has(keyword) || keyword.startsWith('x-')) continue;
      throw unsupported(this.where(keyword.slice(0, 100)));
    }
  }
}
