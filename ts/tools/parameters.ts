/**
 * What a tool takes. One description serves twice: clients are shown it as a JSON schema, and what they send is
 * checked against it. Names are in snake case; their camel case is understood as well.
 */
import { refuse } from '../arguments.js';
import { suggestion } from '../config/nearest.js';
import { StompError } from '../errors.js';

interface Described {
  readonly description: string;
}

export interface TextSchema extends Described {
  readonly type: 'string';
  readonly enum?: readonly string[];
  /** A regular expression; comes with an example, for messages. */
  readonly pattern?: string;
  readonly examples?: readonly [string];
}

/** `null` says something of its own here; elsewhere it counts as left out. */
export interface NullableTextSchema extends Described {
  readonly type: readonly ['string', 'null'];
}

export interface NumberSchema extends Described {
  readonly type: 'integer' | 'number';
  readonly minimum: number;
  readonly maximum: number;
}

export interface FlagSchema extends Described {
  readonly type: 'boolean';
}

export interface ListSchema extends Described {
  readonly type: 'array';
  readonly items: ValueSchema;
  readonly minItems: number;
  readonly maxItems: number;
}

export interface ObjectSchema {
  readonly type: 'object';
  readonly description?: string;
  readonly properties: Readonly<Record<string, ValueSchema>>;
  readonly required: readonly string[];
  readonly additionalProperties: false;
}

/** Whatever JSON can say, by names of the caller's own. */
export interface FreeObjectSchema extends Described {
  readonly type: 'object';
  readonly additionalProperties: true;
}

/** One of several kinds of values, told apart by their type. */
export interface AnyOfSchema extends Described {
  readonly anyOf: readonly (TextSchema | NumberSchema | FlagSchema | ListSchema | ObjectSchema)[];
}

export type ValueSchema =
  | TextSchema
  | NullableTextSchema
  | NumberSchema
  | FlagSchema
  | ListSchema
  | ObjectSchema
  | FreeObjectSchema
  | AnyOfSchema;

type ValueOf<S> = S extends { readonly enum: readonly (infer E)[] }
  ? E
  : S extends TextSchema
    ? string
    : S extends NullableTextSchema
      ? string | null
      : S extends NumberSchema
        ? number
        : S extends FlagSchema
          ? boolean
          : S extends ListSchema
            ? ValueOf<S['items']>[]
            : S extends ObjectSchema
              ? ArgumentsOf<S>
              : S extends FreeObjectSchema
                ? Readonly<Record<string, unknown>>
                : S extends AnyOfSchema
                  ? ValueOf<S['anyOf'][number]>
                  : never;

/** What a schema lets through. */
export type ArgumentsOf<S extends ObjectSchema> = {
  readonly [K in keyof S['properties'] as K extends S['required'][number] ? K : never]: ValueOf<
    S['properties'][K]
  >;
} & {
  readonly [K in keyof S['properties'] as K extends S['required'][number] ? never : K]?: ValueOf<
    S['properties'][K]
  >;
};

/** @throws StompError INVALID_REQUEST naming the argument, by its path, and what it may be. */
export function readArguments<S extends ObjectSchema>(schema: S, value: unknown): ArgumentsOf<S> {
  return readObject(schema, value ?? {}, '') as ArgumentsOf<S>;
}

/** `oldText` as `old_text`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Without what is undefined, for options that know the difference to what is left out. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const found = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(found) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function readObject(schema: ObjectSchema, value: unknown, path: string): Record<string, unknown> {
  if (!isRecord(value)) refuse(path === '' ? 'arguments' : path, value, 'an object');
  const read = readEntries(schema, value, path);
  const missing = schema.required.find((name) => !Object.hasOwn(read, name));
  if (missing === undefined) return read;
  const what = schema.properties[missing]?.description ?? 'it is required';
  throw new StompError('INVALID_REQUEST', `"${within(path, missing)}" is missing: ${what}.`, {
    fields: { field: within(path, missing), allowed: what },
  });
}

function readEntries(schema: ObjectSchema, value: Readonly<Record<string, unknown>>, path: string) {
  const read: Record<string, unknown> = {};
  for (const [written, content] of Object.entries(value)) {
    const name = snakeCase(written);
    const own = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    if (!own) throw unknown(schema, within(path, written.slice(0, 100)), name);
    if (isAbsent(own, content)) continue;
    if (Object.hasOwn(read, name)) refuse(within(path, name), content, 'given once');
    read[name] = readValue(own, content, within(path, name));
  }
  return read;
}

function within(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknown(schema: ObjectSchema, field: string, name: string): StompError {
  const known = Object.keys(schema.properties);
  const names = known.length === 0 ? 'There are none' : `There are ${known.join(', ')}`;
  return new StompError(
    'INVALID_REQUEST',
    `${JSON.stringify(field)} is no known argument.${suggestion(name, known)} ${names}.`,
    { fields: { field, allowed: known } },
  );
}

/** Some clients send null for what they leave out. */
function isAbsent(schema: ValueSchema, content: unknown): boolean {
  const nullable = 'type' in schema && Array.isArray(schema.type);
  return content === undefined || (content === null && !nullable);
}

function readValue(schema: ValueSchema, value: unknown, path: string): unknown {
  if ('anyOf' in schema) return readValue(alternative(schema, value, path), value, path);
  switch (schema.type) {
    case 'string':
      return readText(schema, value, path);
    case 'integer':
    case 'number':
      return readNumber(schema, value, path);
    case 'boolean':
      return typeof value === 'boolean' ? value : refuse(path, value, 'true or false');
    case 'array':
      return readList(schema, value, path);
    case 'object':
      return schema.additionalProperties ? readFree(value, path) : readObject(schema, value, path);
    default:
      return value === null || typeof value === 'string' ? value : refuse(path, value, 'a text or null');
  }
}

function readText(schema: TextSchema, value: unknown, path: string): string {
  if (typeof value !== 'string') refuse(path, value, 'a text');
  if (schema.enum && !schema.enum.includes(value)) refuse(path, value, `one of ${schema.enum.join(', ')}`);
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) {
    refuse(path, value, `a text such as ${JSON.stringify(schema.examples?.[0])}`);
  }
  return value;
}

function readNumber({ type, minimum, maximum }: NumberSchema, value: unknown, path: string): number {
  const whole = type === 'integer';
  const fits = whole ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (fits && (value as number) >= minimum && (value as number) <= maximum) return value as number;
  return refuse(path, value, `a ${whole ? 'whole ' : ''}number from ${minimum} to ${maximum}`);
}

function readFree(value: unknown, path: string): Record<string, unknown> {
  return isRecord(value) ? value : refuse(path, value, 'an object');
}

const kinds = {
  string: 'a text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
} as const;

/** The one for values of this type. */
function alternative({ anyOf }: AnyOfSchema, value: unknown, path: string): ValueSchema {
  const type = typeOf(value);
  const found = anyOf.find((schema) => (schema.type === 'integer' ? 'number' : schema.type) === type);
  return found ?? refuse(path, value, anyOf.map((schema) => kinds[schema.type]).join(' or '));
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function readList({ items, minItems, maxItems }: ListSchema, value: unknown, path: string): unknown[] {
  if (!Array.isArray(value) || value.length < minItems || value.length > maxItems) {
    refuse(path, value, `a list of ${minItems} to ${maxItems} entries`);
  }
  return value.map((entry, i) => readValue(items, entry, `${path}[${i}]`));
}
