/** What one schema says by itself, read and checked. Keywords that are not served are refused by name. */
import { formatNames } from '../regular/formats.js';
import { type Bound, isMultipleServed, maxExclusive } from '../regular/number-automaton.js';
import { invalid, type Schema, type SchemaDocument, unsupported } from './document.js';
import { KeywordReader } from './keyword-reader.js';

/** JSON's types; a number is `integer` or `fractional`. */
export type ValueType = 'null' | 'boolean' | 'integer' | 'fractional' | 'string' | 'array' | 'object';

export const allTypes: readonly ValueType[] = [
  'object',
  'array',
  'string',
  'integer',
  'fractional',
  'boolean',
  'null',
];

const typesByName: Readonly<Record<string, readonly ValueType[]>> = {
  null: ['null'],
  boolean: ['boolean'],
  integer: ['integer'],
  number: ['integer', 'fractional'],
  string: ['string'],
  array: ['array'],
  object: ['object'],
};

/** `max` null: no limit. */
export interface Counts {
  readonly min: number;
  readonly max: number | null;
}

/** A regular expression and where it stands. */
export interface PatternSource {
  readonly source: string;
  readonly where: string;
}

export interface StringKeywords extends Counts {
  readonly pattern: PatternSource | undefined;
  readonly format: string | undefined;
}

export interface NumberKeywords {
  readonly lower: readonly Bound[];
  readonly upper: readonly Bound[];
  readonly multiples: readonly number[];
}

export interface ArrayKeywords extends Counts {
  readonly prefix: readonly Schema[];
  readonly items: Schema | undefined;
}

export interface ObjectKeywords extends Counts {
  readonly properties: ReadonlyMap<string, Schema>;
  readonly patterns: readonly (PatternSource & { readonly schema: Schema })[];
  readonly additional: Schema | undefined;
  readonly names: Schema | undefined;
  readonly required: readonly string[];
  readonly where: string;
}

/** What is undefined says nothing. */
export interface Keywords {
  readonly schema: Schema;
  readonly types: readonly ValueType[] | undefined;
  /** `enum`, `const`, or both. */
  readonly values: readonly (readonly unknown[])[];
  readonly strings: StringKeywords | undefined;
  readonly numbers: NumberKeywords | undefined;
  readonly arrays: ArrayKeywords | undefined;
  readonly objects: ObjectKeywords | undefined;
  readonly ref: Schema | undefined;
  readonly allOf: readonly Schema[];
  readonly anyOf: readonly Schema[] | undefined;
  readonly oneOf: readonly Schema[] | undefined;
}

/** They change nothing about which values are accepted. */
const annotations = [
  ...['title', 'description', 'default', 'examples', 'example', 'deprecated', 'readOnly', 'writeOnly'],
  ...['$schema', '$comment', '$defs', 'definitions', '$anchor', '$dynamicAnchor', 'discriminator'],
  ...['contentEncoding', 'contentMediaType', 'contentSchema'],
];

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readKeywords(document: SchemaDocument, schema: Schema): Keywords {
  const reader = new KeywordReader(document, schema);
  const reference = reader.text('$ref');
  reader.skip(annotations);
  if (schema.isRoot) reader.text('$id');
  if (reader.flag('uniqueItems')) throw unsupported(reader.where('uniqueItems'));
  const keywords: Keywords = {
    schema,
    types: readTypes(reader),
    values: readValues(reader),
    strings: readStrings(reader),
    numbers: readNumbers(reader),
    arrays: readArrays(reader),
    objects: readObjects(reader),
    ref: reference === undefined ? undefined : document.resolve(reference, reader.where('$ref')),
    allOf: reader.schemas('allOf', 1) ?? [],
    anyOf: reader.schemas('anyOf', 1),
    oneOf: reader.schemas('oneOf', 1),
  };
  reader.end();
  return keywords;
}

function readTypes(reader: KeywordReader): readonly ValueType[] | undefined {
  const value = reader.raw('type');
  if (value === undefined) return undefined;
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const types = names.flatMap((name) => {
    const known =
      typeof name === 'string' && Object.hasOwn(typesByName, name) ? typesByName[name] : undefined;
    if (known === undefined) {
      throw invalid(
        reader.where('type'),
        `must be of ${Object.keys(typesByName).join(', ')}, or a list of these`,
      );
    }
    return known;
  });
  if (types.length === 0) throw invalid(reader.where('type'), 'must name at least one type');
  return allTypes.filter((type) => types.includes(type));
}

function readValues(reader: KeywordReader): readonly (readonly unknown[])[] {
  const lists: (readonly unknown[])[] = [];
  const list = reader.list('enum');
  if (list !== undefined) lists.push(list);
  if (reader.has('const')) lists.push([reader.raw('const')]);
  return lists;
}

function readStrings(reader: KeywordReader): StringKeywords | undefined {
  const counts = reader.counts('minLength', 'maxLength');
  const source = reader.text('pattern');
  const format = reader.text('format');
  if (format !== undefined && !formatNames.includes(format)) {
    throw unsupported(reader.where('format'), ` other than ${formatNames.join(', ')}`);
  }
  if (counts === undefined && source === undefined && format === undefined) return undefined;
  const pattern = source === undefined ? undefined : { source, where: reader.where('pattern') };
  return { ...(counts ?? { min: 0, max: null }), pattern, format };
}

function readNumbers(reader: KeywordReader): NumberKeywords | undefined {
  const lower = readBounds(reader, 'minimum', 'exclusiveMinimum');
  const upper = readBounds(reader, 'maximum', 'exclusiveMaximum');
  const multiple = reader.number('multipleOf');
  if (multiple !== undefined) checkMultiple(reader, multiple);
  const multiples = multiple === undefined ? [] : [multiple];
  return lower.length + upper.length + multiples.length === 0 ? undefined : { lower, upper, multiples };
}

function checkMultiple(reader: KeywordReader, multiple: number): void {
  const where = reader.where('multipleOf');
  if (multiple <= 0) throw invalid(where, 'must be above 0');
  if (!isMultipleServed(multiple)) throw unsupported(where, ` of ${multiple}`);
}

function readBounds(reader: KeywordReader, plain: string, exclusive: string): readonly Bound[] {
  const value = reader.number(plain);
  // Up to draft 4 it was a flag beside the bound.
  const flag = reader.has(exclusive) && typeof reader.raw(exclusive) === 'boolean';
  const strict = flag ? undefined : reader.number(exclusive);
  const bounds: Bound[] = [];
  if (value !== undefined) bounds.push({ value, exclusive: flag && reader.raw(exclusive) === true });
  if (strict !== undefined) bounds.push({ value: strict, exclusive: true });
  if (bounds.some((bound) => bound.exclusive && Math.abs(bound.value) > maxExclusive)) {
    throw unsupported(reader.where(exclusive), ` beyond ${maxExclusive}`);
  }
  return bounds;
}

function readArrays(reader: KeywordReader): ArrayKeywords | undefined {
  const counts = reader.counts('minItems', 'maxItems');
  // Up to draft 2019-09 a list of `items` was what `prefixItems` is now, and `additionalItems` what `items` is.
  const isOld = Array.isArray(reader.raw('items'));
  const prefix = isOld ? reader.schemas('items', 0) : reader.schemas('prefixItems', 1);
  const items = reader.schema(isOld ? 'additionalItems' : 'items');
  if (counts === undefined && prefix === undefined && items === undefined) return undefined;
  return { ...(counts ?? { min: 0, max: null }), prefix: prefix ?? [], items };
}

function readObjects(reader: KeywordReader): ObjectKeywords | undefined {
  const counts = reader.counts('minProperties', 'maxProperties');
  const properties = reader.map('properties');
  const patterns = reader.map('patternProperties');
  const additional = reader.schema('additionalProperties');
  const names = reader.schema('propertyNames');
  const required = reader.texts('required');
  if ([counts, properties, patterns, additional, names, required].every((part) => part === undefined)) {
    return undefined;
  }
  return {
    ...(counts ?? { min: 0, max: null }),
    properties: properties ?? new Map(),
    patterns: [...(patterns ?? [])].map(([source, schema]) => ({ source, schema, where: schema.where })),
    additional,
    names,
    required: required ?? [],
    where: reader.where('minProperties'),
  };
}
