/** Small makers of JSON Schemas (draft 2020-12, as OpenAPI 3.1 has them). Pure. */

export type Schema = Readonly<Record<string, unknown>> | boolean;

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
export const text = (description: string, rest: object = {}): Schema => ({
  type: 'string',
  description,
  ...rest,
});
export const integer = (description: string, rest: object = {}): Schema => ({
  type: 'integer',
  description,
  ...rest,
});
export const number = (description: string, rest: object = {}): Schema => ({
  type: 'number',
  description,
  ...rest,
});
export const flag = (description: string): Schema => ({ type: 'boolean', description });
export const choice = (description: string, ...allowed: readonly string[]): Schema => ({
  type: 'string',
  description,
  enum: allowed,
});
export const list = (items: Schema, rest: object = {}): Schema => ({ type: 'array', items, ...rest });
export const anyOf = (...schemas: readonly Schema[]): Schema => ({ anyOf: schemas });
/** The same, or null. */
export const nullable = (schema: Schema): Schema => anyOf(schema, { type: 'null' });

/** An object of these members; names that end in `?` may be left out. */
export function object(members: Readonly<Record<string, Schema>>, rest: object = {}): Schema {
  const entries = Object.entries(members);
  const required = entries.map(([name]) => name).filter((name) => !name.endsWith('?'));
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ''), schema])),
    ...(required.length > 0 ? { required } : {}),
    ...rest,
  };
}

/** An object inside of a request: null counts as left out. */
export function sent(members: Readonly<Record<string, Schema>>, rest: object = {}): Schema {
  const orNull = Object.entries(members).map(
    ([name, schema]) => [name, name.endsWith('?') ? nullable(schema) : schema] as const,
  );
  return object(Object.fromEntries(orNull), rest);
}

/** The body of a request: members of other names are refused. */
export function request(members: Readonly<Record<string, Schema>>): Schema {
  return sent(members, { additionalProperties: false });
}
