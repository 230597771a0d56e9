/** Grammars of the JSON texts that a schema accepts. */
import { StompError } from '../../errors.js';
import { GrammarBuilder } from './builder.js';
import type { Grammar, GrammarNode } from './ir.js';
import { jsonValueNode } from './json.js';

export interface JsonSchemaOptions {
  /** What the schema is called in messages. @default 'schema' */
  where?: string | undefined;
}

/**
 * @throws StompError UNSUPPORTED_FIELD for a keyword that is not served, named by `where` and its JSON pointer;
 *   INVALID_REQUEST for a schema that is malformed, too large, or that nothing satisfies.
 */
export function jsonSchemaGrammar(schema: unknown, options: JsonSchemaOptions = {}): Grammar {
  const where = options.where ?? 'schema';
  const builder = new GrammarBuilder();
  return builder.build(schemaNode(builder, schema, where), where);
}

/**
 * The same as part of a larger grammar.
 * @param where what the schema is called in messages.
 * @throws StompError as `jsonSchemaGrammar`; a schema that nothing satisfies is found by `GrammarBuilder.build`.
 */
export function schemaNode(builder: GrammarBuilder, schema: unknown, where: string): GrammarNode {
  if (schema === true) return jsonValueNode(builder);
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new StompError('INVALID_REQUEST', `"${where}" must be a JSON Schema.`, {
      fields: { field: where },
    });
  }
  for (const keyword of Object.keys(schema)) {
    const field = `${where}/${keyword}`;
    throw new StompError('UNSUPPORTED_FIELD', `"${field}" is not supported; leave it out.`, {
      fields: { field },
    });
  }
  return jsonValueNode(builder);
}
