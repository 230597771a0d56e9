/**
 * Values of arguments in formats that write strings as they are and all else as JSON: what is meant is told by the
 * schema of the tool.
 */

/** What a value may be. */
export type JsonType = 'string' | 'number' | 'boolean' | 'null' | 'array' | 'object';

type Fields = Readonly<Record<string, unknown>>;

/** References within references beyond this are not followed. */
const maxSteps = 8;

/** The schema of one argument, of the schema of all; undefined where nothing is said of it. */
export function argumentSchema(parameters: unknown, name: string): unknown {
  const properties = fieldsOf(resolved(parameters, parameters))?.['properties'];
  return fieldsOf(properties) && Object.hasOwn(properties as Fields, name)
    ? resolved((properties as Fields)[name], parameters)
    : undefined;
}

/** Types that a schema allows; undefined where it does not say. `root` is where its references lead. */
export function schemaTypes(schema: unknown, root: unknown): ReadonlySet<JsonType> | undefined {
  return typesOf(schema, root, new Set());
}

/** @param seen what was met on the way; that adds no types when it is met again. */
function typesOf(schema: unknown, root: unknown, seen: Set<unknown>): ReadonlySet<JsonType> | undefined {
  const fields = fieldsOf(resolved(schema, root));
  if (!fields) return undefined;
  if (seen.has(fields)) return new Set();
  seen.add(fields);
  const { type, enum: listed, const: only, anyOf, oneOf } = fields;
  if (typeof type === 'string') return typesNamed([type]);
  if (Array.isArray(type)) return typesNamed(type);
  if (Array.isArray(listed)) return new Set(listed.map(typeOf));
  if (only !== undefined) return new Set([typeOf(only)]);
  const branches = Array.isArray(anyOf) ? anyOf : oneOf;
  if (!Array.isArray(branches)) return undefined;
  const types = branches.map((branch) => typesOf(branch, root, seen));
  return types.includes(undefined) ? undefined : new Set(types.flatMap((some) => [...(some ?? [])]));
}

/** The argument is a string whatever stands there. */
export function isText(types: ReadonlySet<JsonType> | undefined): boolean {
  return types?.size === 1 && types.has('string');
}

/** A written value as JSON. */
export function valueAsJson(written: string, types: ReadonlySet<JsonType> | undefined): string {
  const json = pythonWords.get(written.trim()) ?? written.trim();
  const type = typeOfJson(json);
  if (type === undefined) return JSON.stringify(written);
  const mayBeText = types === undefined || types.has('string');
  // A string in quotes that may be written without them has them as its own.
  if (mayBeText && (type === 'string' || types?.has(type) === false)) return JSON.stringify(written);
  return json;
}

/** How templates in Python print these. */
const pythonWords: ReadonlyMap<string, string> = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);

function typesNamed(names: readonly unknown[]): ReadonlySet<JsonType> {
  return new Set(names.map((name) => (name === 'integer' ? 'number' : name) as JsonType));
}

function typeOfJson(text: string): JsonType | undefined {
  try {
    return typeOf(JSON.parse(text));
  } catch {
    return undefined; // a string without quotes
  }
}

function typeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : (typeof value as JsonType);
}

function resolved(schema: unknown, root: unknown): unknown {
  let found = schema;
  for (let steps = 0; steps < maxSteps; steps++) {
    const reference = fieldsOf(found)?.['$ref'];
    if (typeof reference !== 'string' || !reference.startsWith('#/')) return found;
    found = reference.slice(2).split('/').reduce(member, root);
  }
  return undefined;
}

function member(value: unknown, name: string): unknown {
  const key = name.replaceAll('~1', '/').replaceAll('~0', '~');
  const fields = fieldsOf(value);
  return fields && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
