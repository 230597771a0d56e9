/**
 * Arguments of tools where every value is a text: in the query of a URL, on a command line. The schema says what the
 * texts stand for. Pure.
 */
import type { ListSchema, ObjectSchema, ValueSchema } from './parameters.js';

/**
 * Turns texts into what the schema has in their place. A text that does not fit stays as it is, for the reader of the
 * schema to refuse it under its name.
 * @param words by the names of the arguments; of one that was given several times, all
 */
export function argumentsFromWords(
  schema: ObjectSchema,
  words: ReadonlyMap<string, readonly string[]>,
): Record<string, unknown> {
  // An entry of its own for every name, `__proto__` too.
  return Object.fromEntries(
    Array.from(words, ([name, values]) => {
      const own = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
      return [name, own ? valueFor(own, values) : values.at(-1)];
    }),
  );
}

/** Whether several may be given, also as one text with commas between them. */
export function listIn(schema: ValueSchema): ListSchema | undefined {
  if ('anyOf' in schema) return schema.anyOf.find((one) => one.type === 'array') as ListSchema | undefined;
  return schema.type === 'array' ? schema : undefined;
}

/** Whether it is an object of names of the caller's own. */
export function isFree(schema: ValueSchema): boolean {
  return 'type' in schema && schema.type === 'object' && schema.additionalProperties;
}

function valueFor(schema: ValueSchema, values: readonly string[]): unknown {
  if (isFree(schema)) return freeObject(values);
  if (listIn(schema)) return values.flatMap(separated);
  const [value = ''] = values;
  if (values.length > 1) return values;
  return scalar(schema, value);
}

/** `a, b` */
function separated(values: string): string[] {
  return values
    .split(',')
    .map((value) => value.trim())
    .filter((value) => value !== '');
}

function scalar(schema: ValueSchema, value: string): unknown {
  const types = 'anyOf' in schema ? schema.anyOf.map(({ type }) => type) : [schema.type];
  const isNumber = types.some((type) => type === 'integer' || type === 'number');
  if (isNumber && /^-?\d+(\.\d+)?$/.test(value)) return Number(value);
  if (types.includes('boolean' as never)) return flagOf(value);
  return value;
}

function flagOf(value: string): unknown {
  if (value === '' || value === 'true') return true;
  return value === 'false' ? false : value;
}

/** `key=value`, each by itself; a value that is JSON is what it says, unless that would change it, as `1.10` to 1.1. */
function freeObject(values: readonly string[]): unknown {
  const [only] = values;
  if (values.length === 1 && only?.startsWith('{')) return parsed(only);
  const entries = values.map((value) => {
    const at = value.indexOf('=');
    return at < 0 ? undefined : ([value.slice(0, at), unchanged(value.slice(at + 1))] as const);
  });
  const bad = entries.indexOf(undefined);
  return bad < 0 ? Object.fromEntries(entries as [string, unknown][]) : values[bad];
}

function unchanged(text: string): unknown {
  const value = parsed(text);
  return typeof value === 'number' && String(value) !== text ? text : value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
