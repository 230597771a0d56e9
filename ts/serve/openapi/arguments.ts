/** Arguments of tools as routes take them. Pure. */
import type { ObjectSchema } from '../../tools/parameters.js';
import { inQuery, type Parameter } from './operation.js';
import type { Schema } from './shapes.js';

/** The body of a route whose path says some of the arguments. */
export function without({ properties, required, ...rest }: ObjectSchema, said: readonly string[]): Schema {
  const kept = Object.entries(properties).filter(([name]) => !said.includes(name));
  return {
    ...rest,
    properties: Object.fromEntries(kept),
    required: required.filter((name) => !said.includes(name)),
  };
}

/** Objects have no form in a query; lists are texts with commas. */
export function queryOf({ properties }: ObjectSchema, said: readonly string[]): Parameter[] {
  return Object.entries(properties)
    .filter(([name, schema]) => !said.includes(name) && !isOf(schema, 'object'))
    .map(([name, schema]) => {
      const isList = 'anyOf' in schema || isOf(schema, 'array');
      return inQuery(name, schema.description ?? '', isList ? { type: 'string' } : { ...schema });
    });
}

function isOf(schema: object, type: string): boolean {
  return 'type' in schema && schema.type === type;
}
