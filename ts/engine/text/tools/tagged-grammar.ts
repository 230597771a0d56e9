/**
 * Arguments in tags of their own (`tagged.ts`) as a grammar: declared ones in their order, required ones always. Text
 * is any text without the closing tag, or one of the listed ones; all else is JSON of its schema.
 */
import { StompError } from '../../../errors.js';
import type { GrammarBuilder } from '../../grammar/builder.js';
import { type GrammarNode, optional, or, seq, text } from '../../grammar/ir.js';
import { jsonValueNode } from '../../grammar/json.js';
import { schemaNode } from '../../grammar/json-schema.js';
import { MalformedSchema } from '../../grammar/schema/document.js';
import type { ToolDefinition } from '../../types.js';
import { argumentSchema, fieldsOf, isText, schemaTypes } from './argument-values.js';
import { type FreeText, freeUpTo } from './free-grammar.js';

export interface ArgumentTags {
  /** What stands before the value of an argument. */
  before: (name: string) => GrammarNode;
  /** Ends a value. */
  readonly close: FreeText;
  /** Behind the closing tag. */
  readonly after: GrammarNode;
  /** May stand before the closing tag without belonging to the value. */
  readonly gap: GrammarNode;
}

/** They bind the arguments together, which a grammar of one after the other cannot say. */
const together = ['$ref', 'allOf', 'anyOf', 'oneOf', 'patternProperties', 'minProperties', 'propertyNames'];
/** What such a grammar says of texts, and what says nothing. */
const textKeywords = /^(type|enum|const|title|description|default|examples|deprecated|\$comment|x-.*)$/;

/** @throws StompError UNSUPPORTED_FIELD, INVALID_REQUEST for a strict tool */
export function taggedArguments(
  builder: GrammarBuilder,
  tool: ToolDefinition,
  tags: ArgumentTags,
): GrammarNode {
  const { name, parameters, strict = false } = tool;
  const where = `tools.${name}.parameters`;
  const fields = fieldsOf(parameters) ?? {};
  if (strict) for (const key of together) if (key in fields) throw unsaid(`${where}/${key}`);
  const declared = Object.keys(fieldsOf(fields['properties']) ?? {});
  const required = new Set(Array.isArray(fields['required']) ? fields['required'].map(String) : []);
  const names = [...declared, ...[...required].filter((one) => !declared.includes(one))];
  const values = new ValueGrammar(builder, parameters, strict, tags);
  return seq(
    ...names.map((key) => {
      const node = seq(tags.before(key), values.node(key, `${where}/properties/${key}`), tags.after);
      return required.has(key) ? node : optional(node);
    }),
  );
}

class ValueGrammar {
  readonly #builder: GrammarBuilder;
  readonly #root: unknown;
  readonly #strict: boolean;
  readonly #tags: ArgumentTags;

  constructor(builder: GrammarBuilder, root: unknown, strict: boolean, tags: ArgumentTags) {
    this.#builder = builder;
    this.#root = root;
    this.#strict = strict;
    this.#tags = tags;
  }

  /** A value with its closing tag. */
  node(name: string, where: string): GrammarNode {
    const schema = argumentSchema(this.#root, name);
    const types = schemaTypes(schema, this.#root);
    if (isText(types)) return this.#text(schema, where);
    if (types === undefined || types.has('string')) return this.#any(schema, where);
    return seq(this.#json(schema, where), this.#tags.gap, this.#closing());
  }

  #text(schema: unknown, where: string): GrammarNode {
    const fields = fieldsOf(schema) ?? {};
    const listed = Array.isArray(fields['enum'])
      ? fields['enum']
      : 'const' in fields
        ? [fields['const']]
        : undefined;
    this.#checkSaid(fields, where);
    if (!listed) return this.#free();
    const texts = listed.filter((value) => typeof value === 'string');
    return seq(or(...texts.map(text)), this.#tags.gap, this.#closing());
  }

  /** Text or JSON: text may be anything, and is all that can be held to. */
  #any(schema: unknown, where: string): GrammarNode {
    const { type, ...others } = fieldsOf(schema) ?? {};
    const types = schemaTypes(schema, this.#root);
    if (types?.has('object') || types?.has('array')) this.#refuse(where);
    if ('enum' in others || 'const' in others || 'anyOf' in others || 'oneOf' in others) this.#refuse(where);
    this.#checkSaid(others, where);
    return this.#free();
  }

  #json(schema: unknown, where: string): GrammarNode {
    const { $defs, definitions } = fieldsOf(this.#root) ?? {};
    const shared = { ...($defs ? { $defs } : {}), ...(definitions ? { definitions } : {}) };
    try {
      return this.#builder.attempt(() =>
        schemaNode(this.#builder, { ...shared, ...fieldsOf(schema) }, where),
      );
    } catch (error) {
      const isOwn = error instanceof StompError && !(error instanceof MalformedSchema);
      if (this.#strict || !isOwn) throw error;
      return jsonValueNode(this.#builder);
    }
  }

  #free(): GrammarNode {
    return this.#builder.shared('argument-text', () =>
      freeUpTo(this.#builder, 'value', this.#tags.close, text('')),
    );
  }

  #closing(): GrammarNode {
    const { marker, token: id } = this.#tags.close;
    return id === undefined ? text(marker) : { token: id };
  }

  #checkSaid(fields: Readonly<Record<string, unknown>>, where: string): void {
    const other = Object.keys(fields).find((key) => !textKeywords.test(key));
    if (other !== undefined) this.#refuse(`${where}/${other}`);
  }

  #refuse(where: string): void {
    if (this.#strict) throw unsaid(where);
  }
}

function unsaid(where: string): StompError {
  return new StompError(
    'UNSUPPORTED_FIELD',
    `"${where}" cannot be enforced for this model, which writes texts without quotes; leave it out, or ask for a tool ` +
      'that is not strict.',
    { fields: { field: where } },
  );
}
