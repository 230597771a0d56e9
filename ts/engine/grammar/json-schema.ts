/**
 * Grammars of the JSON texts that a schema accepts: draft 2020-12, and what older drafts spell in another way where
 * that is not ambiguous. Whatever a grammar derives satisfies the schema; docs/structured-output.md says which
 * spellings of accepted values are not derived, and which keywords are refused.
 */
import { GrammarBuilder } from './builder.js';
import type { Grammar, GrammarNode } from './ir.js';
import { SchemaCompiler } from './schema/compiler.js';

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
  return new SchemaCompiler(builder, schema, where).compile();
}
