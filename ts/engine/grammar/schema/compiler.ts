/** Schemas as rules of a grammar. One rule for each set of schemas that must hold together. */
import type { GrammarBuilder } from '../builder.js';
import { chars, type GrammarNode, or, ref, seq, text } from '../ir.js';
import { colon, jsonIntegerNode, jsonNumberNode, jsonStringNode, jsonValueNode } from '../json.js';
import { isEmpty, languageAutomaton } from '../regular/automaton.js';
import { automatonNode, stringAutomatonNode } from '../regular/automaton-node.js';
import { formatAutomaton } from '../regular/formats.js';
import type { Language, Languages } from '../regular/language.js';
import { isNever } from '../simplify.js';
import { arrayNode } from './array-node.js';
import { Conjunctions, said, type Together, togetherKey } from './conjunction.js';
import { type Schema, SchemaDocument, unsupported } from './document.js';
import { Emptiness, valuesOf } from './emptiness.js';
import type { ValueType } from './keywords.js';
import {
  areStringsPlain,
  countsOf,
  elementsOf,
  memberOf,
  nameSchemas,
  namesOf,
  numbersAutomaton,
  onlyFormat,
  requiredOf,
  stringLanguage,
  typesOf,
  whereOf,
} from './merged.js';
import { objectNode } from './object-node.js';
import { otherNames } from './other-names.js';
import { Validator } from './validate.js';
import { valuesNode } from './value-nodes.js';

/** What the automaton of a format counts for, whether it is remembered or not. */
const formatSteps = 5000;

export class SchemaCompiler {
  readonly #builder: GrammarBuilder;
  readonly #document: SchemaDocument;
  readonly #languages: Languages;
  readonly #conjunctions: Conjunctions;
  readonly #validator: Validator;
  readonly #rules = new Map<string, string>();
  readonly #waiting: [name: string, together: Together][] = [];

  /** @throws StompError INVALID_REQUEST when `schema` is none, or too large. */
  constructor(builder: GrammarBuilder, schema: unknown, where: string) {
    this.#builder = builder;
    this.#document = new SchemaDocument(schema, where);
    this.#languages = builder.languages;
    this.#conjunctions = new Conjunctions(this.#document, builder.work, (schemas) =>
      emptiness.isEmpty(schemas),
    );
    this.#validator = new Validator(this.#conjunctions, this.#languages);
    const emptiness = new Emptiness(this.#conjunctions, this.#languages, this.#validator);
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
  compile(): GrammarNode {
    this.#builder.work.where = this.#document.root.where;
    const root = this.#nodeOf([this.#document.root]);
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const [name, together] = next;
      this.#builder.define(name, this.#togetherNode(together));
    }
    return root;
  }

  /** What satisfies all of `schemas`. */
  #nodeOf(schemas: readonly Schema[]): GrammarNode {
    const alternatives = this.#conjunctions.alternatives(schemas);
    const byKey = new Map(alternatives.map((together) => [togetherKey(together), together]));
    if (byKey.has('')) return jsonValueNode(this.#builder);
    return or(...[...byKey].map(([key, together]) => this.#ruleOf(key, together)));
  }

  #ruleOf(key: string, together: Together): GrammarNode {
    const known = this.#rules.get(key);
    if (known !== undefined) return ref(known);
    const name = this.#builder.reserve('schema');
    this.#rules.set(key, name);
    this.#waiting.push([name, together]);
    return ref(name);
  }

  #togetherNode(together: Together): GrammarNode {
    const values = valuesOf(this.#validator, together);
    if (values !== undefined) return valuesNode(this.#builder, values);
    const types = typesOf(together);
    // A number with a fraction may also be written without one.
    const written = types.filter((type) => type !== 'integer' || !types.includes('fractional'));
    return or(...written.map((type) => this.#typeNode(together, type)));
  }

  #typeNode(together: Together, type: ValueType): GrammarNode {
    switch (type) {
      case 'null':
        return text('null');
      case 'boolean':
        return or(text('true'), text('false'));
      case 'integer':
      case 'fractional':
        return this.#numberNode(together, type === 'integer');
      case 'string':
        return this.#stringNode(together);
      case 'array':
        return arrayNode(this.#builder, elementsOf(together), (schemas) => this.#nodeOf(schemas));
      case 'object':
        return this.#objectNode(together);
    }
  }

  #numberNode(together: Together, integer: boolean): GrammarNode {
    const automaton = numbersAutomaton(together, integer, (steps, where) =>
      this.#builder.work.spend(steps, where),
    );
    if (automaton === undefined)
      return integer ? jsonIntegerNode(this.#builder) : jsonNumberNode(this.#builder);
    return automatonNode(this.#builder, 'number', automaton, (ranges) => chars(...ranges), text(''));
  }

  #stringNode(together: Together): GrammarNode {
    if (areStringsPlain(together)) {
      const { min, max } = countsOf(said(together, 'strings'));
      return max !== null && min > max ? or() : jsonStringNode(this.#builder, min, max);
    }
    const format = onlyFormat(together);
    if (format !== undefined) {
      const name = `json-${format}`;
      return this.#builder.shared(name, () => {
        this.#builder.work.spend(formatSteps, whereOf(together));
        return stringAutomatonNode(this.#builder, name, formatAutomaton(format));
      });
    }
    return this.#languageNode(stringLanguage(this.#languages, together), together);
  }

  /** Strings of a language. Those of the same language are the same rules. */
  #languageNode(language: Language, together: Together): GrammarNode {
    const automaton = languageAutomaton(this.#languages, language, whereOf(together));
    if (isEmpty(automaton)) return or();
    return this.#builder.shared(`string-${language.id}`, () =>
      stringAutomatonNode(this.#builder, 'string', automaton),
    );
  }

  #objectNode(together: Together): GrammarNode {
    const required = requiredOf(together);
    const allowed = nameSchemas(together);
    const named = namesOf(together).map((name) => {
      const isAllowed = allowed.every((schema) => this.#validator.accepts(schema, name));
      const value = isAllowed ? this.#nodeOf(memberOf(this.#languages, together, name)) : or();
      return { name, required: required.has(name), value };
    });
    const counts = countsOf(said(together, 'objects'));
    const other = this.#otherNode(together);
    if (other !== undefined && counts.min > required.size + 1) throw this.#tooMany(together);
    return objectNode(this.#builder, { named, other, counts });
  }

  /** Members that are neither declared nor required. */
  #otherNode(together: Together): GrammarNode | undefined {
    const allowed = this.#languages.both(nameSchemas(together).map((schema) => this.#nameLanguage(schema)));
    const members = otherNames(this.#languages, together, allowed).flatMap(({ names, schemas, isAny }) => {
      const value = this.#nodeOf(schemas);
      if (isNever(value)) return [];
      const key = isAny ? jsonStringNode(this.#builder) : this.#languageNode(names, together);
      return isNever(key) ? [] : [seq(key, colon, value)];
    });
    return members.length === 0 ? undefined : this.#builder.rule('member', or(...members));
  }

  /** The names that a schema of names accepts. */
  #nameLanguage(schema: Schema): Language {
    return this.#languages.union(
      this.#conjunctions.alternatives([schema]).map((together) => {
        const values = valuesOf(this.#validator, together);
        if (values === undefined) {
          const takesTexts = typesOf(together).includes('string');
          return takesTexts ? stringLanguage(this.#languages, together) : this.#languages.never;
        }
        const texts = values.filter((value) => typeof value === 'string');
        return this.#languages.union(texts.map((value) => this.#languages.text(value)));
      }),
    );
  }

  #tooMany(together: Together): Error {
    const demanding = said(together, 'objects').find(({ min }) => min > requiredOf(together).size + 1);
    return unsupported(
      demanding?.where ?? '',
      ' that members without a declaration must fill, of which only one is counted,',
    );
  }
}
