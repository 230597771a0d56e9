/** A schema as it came, made safe to walk: its limits, the places in it, and where its references lead. */
import { StompError } from '../../../errors.js';

/** A schema or a part of one. The same place is the same object. */
export interface Schema {
  readonly id: number;
  /** For messages: what the whole is called, and the JSON pointer into it. */
  readonly where: string;
  readonly value: boolean | Readonly<Record<string, unknown>>;
  readonly isRoot: boolean;
}

/** Values in a schema, however deep. */
const maxValues = 100_000;
const maxDepth = 100;
const maxCharacters = 4_000_000;

export class SchemaDocument {
  readonly root: Schema;
  readonly #places = new Map<string, Schema>();
  readonly #anchors = new Map<string, Schema>();
  readonly #own: string;

  /**
   * @param where what the schema is called in messages.
   * @throws StompError INVALID_REQUEST when it is no schema, or too large.
   */
  constructor(value: unknown, where: string) {
    checkJson(value, where);
    this.root = this.#place(value, where, true);
    this.#own = typeof this.root.value === 'object' ? String(this.root.value['$id'] ?? '') : '';
    this.#collectAnchors();
  }

  /** The schema at `keyword` of `parent`, or at one of its entries. */
  at(parent: Schema, value: unknown, ...path: readonly (string | number)[]): Schema {
    return this.#place(value, this.pointer(parent, ...path), false);
  }

  /** What the place below `parent` is called in messages. */
  pointer(parent: Schema, ...path: readonly (string | number)[]): string {
    return [parent.where, ...path.map((step) => pointerStep(String(step)))].join('/');
  }

  /**
   * Where a `$ref` leads.
   * @throws StompError INVALID_REQUEST when there is nothing; UNSUPPORTED_FIELD when it leads out of the schema.
   */
  resolve(reference: string, where: string): Schema {
    const isOwn = this.#own !== '' && reference.startsWith(this.#own.replace(/#$/, ''));
    const local = isOwn ? reference.slice(this.#own.replace(/#$/, '').length) : reference;
    if (local === '' && isOwn) return this.root;
    if (!local.startsWith('#')) throw unsupported(where, ': a reference out of the schema');
    const fragment = decoded(local.slice(1), where);
    if (fragment === '') return this.root;
    if (fragment.startsWith('/')) return this.#follow(fragment.slice(1).split('/'), where);
    const anchored = this.#anchors.get(fragment);
    if (anchored === undefined) throw invalid(where, 'leads nowhere; define what it names');
    return anchored;
  }

  #follow(steps: readonly string[], where: string): Schema {
    let value: unknown = this.root.value;
    const path: string[] = [];
    for (const step of steps) {
      const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
      if (!isContainer(value) || !Object.hasOwn(value, name)) {
        throw invalid(where, 'leads nowhere; define what it names');
      }
      value = (value as Record<string, unknown>)[name];
      path.push(name);
      if (hasOwnIdentity(value))
        throw unsupported(where, ': a reference into a schema with an "$id" of its own');
    }
    return this.at(this.root, value, ...path);
  }

  #place(value: unknown, where: string, isRoot: boolean): Schema {
    const known = this.#places.get(where);
    if (known !== undefined) return known;
    if (typeof value !== 'boolean' && (!isContainer(value) || Array.isArray(value))) {
      throw invalid(where, 'must be a JSON Schema: an object, true or false');
    }
    const made: Schema = { id: this.#places.size, where, value: value as Schema['value'], isRoot };
    this.#places.set(where, made);
    return made;
  }

  #collectAnchors(): void {
    const waiting: Schema[] = [this.root];
    for (let schema = waiting.pop(); schema !== undefined; schema = waiting.pop()) {
      if (typeof schema.value === 'boolean') continue;
      for (const keyword of ['$anchor', '$dynamicAnchor']) {
        const name = schema.value[keyword];
        if (typeof name === 'string') this.#anchors.set(name, schema);
      }
      waiting.push(...this.#parts(schema, schema.value));
    }
  }

  /** The schemas right below, where they are well formed and of this schema's own identity. */
  #parts(schema: Schema, value: Readonly<Record<string, unknown>>): Schema[] {
    const held = Object.entries(value).filter(([keyword]) => holders.has(keyword));
    const parts = held.flatMap(([keyword, part]) => partsOf(keyword, part));
    return parts.filter(([part]) => isSchema(part)).map(([part, ...path]) => this.at(schema, part, ...path));
  }
}

const maps = new Set(['$defs', 'definitions', 'properties', 'patternProperties', 'dependentSchemas']);
const holders = new Set([
  ...maps,
  ...['additionalProperties', 'propertyNames', 'items', 'additionalItems', 'prefixItems', 'contains'],
  ...['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', 'unevaluatedItems', 'unevaluatedProperties'],
]);

/** What may be schemas in the value of a keyword, each with the way to it. */
function partsOf(keyword: string, held: unknown): [part: unknown, ...path: string[]][] {
  if (!isContainer(held)) return [];
  if (!maps.has(keyword) && !Array.isArray(held)) return [[held, keyword]];
  return Object.entries(held).map(([name, part]) => [part, keyword, name]);
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isSchema(value: unknown): boolean {
  return isContainer(value) && !Array.isArray(value) && !hasOwnIdentity(value);
}

function hasOwnIdentity(value: unknown): boolean {
  return (
    isContainer(value) && Object.hasOwn(value, '$id') && typeof (value as { $id: unknown }).$id === 'string'
  );
}

function pointerStep(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}

function decoded(fragment: string, where: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch (error) {
    if (error instanceof URIError) throw invalid(where, 'is not encoded as a URI');
    throw error;
  }
}

/** That it is JSON, and not too large to be looked at. @throws StompError INVALID_REQUEST */
export function checkJson(root: unknown, where: string): void {
  let values = 0;
  let characters = 0;
  const waiting: [unknown, number][] = [[root, 0]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [value, depth] = next;
    values += 1;
    characters += checkValue(value, where);
    checkLimit(values, maxValues, 'values', where);
    checkLimit(depth, maxDepth, 'levels', where);
    checkLimit(characters, maxCharacters, 'characters of text', where);
    if (isContainer(value)) for (const held of Object.values(value)) waiting.push([held, depth + 1]);
  }
}

function checkLimit(count: number, limit: number, what: string, where: string): void {
  if (count > limit) throw beyond(where, `must have at most ${limit} ${what}`);
}

/** Returns the characters that it holds itself. */
function checkValue(value: unknown, where: string): number {
  if (typeof value === 'string') return value.length;
  if (typeof value === 'number' && !Number.isFinite(value))
    throw invalid(where, 'has a number beyond all doubles');
  if (!['object', 'number', 'boolean'].includes(typeof value))
    throw invalid(where, 'has a value that is no JSON');
  return isContainer(value) ? Object.keys(value).reduce((sum, key) => sum + key.length, 0) : 0;
}

/** INVALID_REQUEST about what stands at `where`, which is no JSON Schema. */
export function invalid(where: string, what: string): StompError {
  return new MalformedSchema('INVALID_REQUEST', `"${where}" ${what}.`, { fields: { field: where } });
}

/** What is malformed, and not just more than is served. */
export class MalformedSchema extends StompError {}

/** INVALID_REQUEST about what stands at `where`, of which there is too much. */
export function beyond(where: string, what: string): StompError {
  return new StompError('INVALID_REQUEST', `"${where}" ${what}.`, { fields: { field: where } });
}

/** UNSUPPORTED_FIELD about the keyword at `where`. */
export function unsupported(where: string, what = ''): StompError {
  const message = `"${where}"${what} is not supported; leave it out.`;
  return new StompError('UNSUPPORTED_FIELD', message, { fields: { field: where } });
}
