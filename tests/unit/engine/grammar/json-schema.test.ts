import { describe, expect, it } from 'vitest';
import { GrammarBuilder } from '../../../../ts/engine/grammar/builder.js';
import { seq, text } from '../../../../ts/engine/grammar/ir.js';
import { jsonObjectNode, jsonValueNode } from '../../../../ts/engine/grammar/json.js';
import { jsonSchemaGrammar, schemaNode } from '../../../../ts/engine/grammar/json-schema.js';
import { accepts } from './acceptor.js';

/** Which of the texts the schema's grammar derives. */
function derived(schema: unknown, ...texts: string[]): string[] {
  const grammar = jsonSchemaGrammar(schema);
  return texts.filter((each) => accepts(grammar, each));
}

const closed = { type: 'object', additionalProperties: false };

describe('objects', () => {
  const schema = {
    ...closed,
    properties: { a: { type: 'integer' }, b: { type: 'boolean' }, c: { type: 'null' } },
    required: ['b'],
  };

  it('have their members in the order of the schema, and leave out what is not required', () => {
    expect(
      derived(schema, '{"b":true}', '{"a":1,"b":true}', '{"a":1,"b":true,"c":null}', '{"b":true,"c":null}'),
    ).toHaveLength(4);
    expect(derived(schema, '{}', '{"a":1}', '{"b":true,"a":1}', '{"b":true,}', '{"b":true,"d":1}')).toEqual(
      [],
    );
  });

  it('are written compactly, in a line, or indented', () => {
    const value = { a: 1, b: true, c: null };
    const spaced = '{"a": 1, "b": true, "c": null}';
    const texts = [
      JSON.stringify(value),
      spaced,
      JSON.stringify(value, null, 2),
      JSON.stringify(value, null, '\t'),
    ];
    expect(derived(schema, ...texts)).toEqual(texts);
  });

  it('have no white space without end', () => {
    expect(
      derived(schema, `{\n${' '.repeat(41)}"b":true}`, '{  "b":true}', '{"b" :true}', ' {"b":true}'),
    ).toEqual([]);
  });

  it('have further members after those that are declared, and none twice', () => {
    const open = {
      properties: { a: { type: 'integer' } },
      additionalProperties: { type: 'string' },
      type: 'object',
    };
    expect(derived(open, '{"b":"x"}', '{"a":1,"b":"x","aa":"y","":"z"}')).toHaveLength(2);
    expect(derived(open, '{"a":"x"}', '{"a":1,"a":"x"}', '{"\\u0061":"x"}', '{"b":"x","a":1}')).toEqual([]);
  });

  it('have as many members as they are told', () => {
    const counted = { ...schema, minProperties: 2, maxProperties: 2 };
    expect(derived(counted, '{"a":1,"b":true}', '{"b":true,"c":null}')).toHaveLength(2);
    expect(derived(counted, '{"b":true}', '{"a":1,"b":true,"c":null}')).toEqual([]);
  });

  it('may be nested in themselves', () => {
    const tree = { ...closed, properties: { next: { $ref: '#' }, leaf: { const: 1 } } };
    expect(derived(tree, '{}', '{"next":{"next":{"leaf":1}},"leaf":1}', '{"next":1}')).toHaveLength(2);
  });
});

describe('values', () => {
  it('that are listed satisfy what stands beside them', () => {
    expect(
      derived(
        { enum: ['a', 'bb', 1, null, [1], { x: 1 }], type: ['string', 'array'], minLength: 2 },
        '"a"',
        '"bb"',
        '1',
        '[1]',
        '{"x":1}',
      ),
    ).toEqual(['"bb"', '[1]']);
  });

  it('may be thousands, which share their beginnings', () => {
    const values = Array.from({ length: 5000 }, (_, i) => `value ${i * 7919}`);
    const grammar = jsonSchemaGrammar({ enum: values });
    expect(Object.keys(grammar.rules).length).toBeLessThan(50);
    expect(
      values.filter((_, i) => i % 500 === 0).every((value) => accepts(grammar, JSON.stringify(value))),
    ).toBe(true);
    expect(accepts(grammar, '"value 1"')).toBe(false);
  });

  it('count characters, not bytes or halves of pairs', () => {
    expect(derived({ type: 'string', maxLength: 1 }, '"🐲"', '"é"', '"\\ud83d\\udc32"', '"ab"')).toHaveLength(
      3,
    );
  });

  it('hold no half of a pair', () => {
    expect(derived({ type: 'string' }, '"\\ud83d"', '"\\udc32\\ud83d"')).toEqual([]);
  });

  it('without demands may be anything', () => {
    for (const schema of [true, {}, { title: 'x', 'x-note': 1 }]) {
      expect(derived(schema, '{"a":[1.5e3,true]}', 'null', '"x"', '-0', 'x', '')).toHaveLength(4);
    }
  });
});

describe('choices', () => {
  it('hold to what is demanded around them', () => {
    const schema = { anyOf: [{ type: 'string' }, { type: 'integer' }], minLength: 2, maximum: 5 };
    expect(derived(schema, '"a"', '"ab"', '6', '5')).toEqual(['"ab"', '5']);
  });

  it('of one are served where the branches exclude each other', () => {
    const branch = (kind: string) => ({
      properties: { kind: { const: kind } },
      required: ['kind'],
      type: 'object',
    });
    const schema = {
      oneOf: [branch('a'), branch('b'), { type: 'integer', maximum: 3 }, { minimum: 4, type: 'number' }],
    };
    expect(derived(schema, '{"kind":"b"}', '3', '4.5', '{"kind":"c"}', '3.5')).toEqual([
      '{"kind":"b"}',
      '3',
      '4.5',
    ]);
  });

  it('of all are merged, closed objects with what others declare left out', () => {
    const one = { ...closed, properties: { a: { type: 'number' }, b: {} } };
    const schema = { allOf: [one, { properties: { a: { minimum: 2 }, c: {} } }] };
    expect(derived(schema, '{"a":2}', '{"a":1}', '{"c":1}')).toEqual(['{"a":2}']);
  });
});

describe('refusals', () => {
  it.each<[object, string]>([
    [{ properties: { 'a/b': { not: {} } } }, 'f/properties/a~1b/not'],
    [{ items: { uniqueItems: true } }, 'f/items/uniqueItems'],
    [{ $defs: { x: { if: {} } }, $ref: '#/$defs/x' }, 'f/$defs/x/if'],
    [{ $ref: 'https://example.com/schema' }, 'f/$ref'],
    [{ format: 'regex' }, 'f/format'],
    [{ minLenght: 1 }, 'f/minLenght'],
    [{ oneOf: [{ minimum: 1 }, { maximum: 2 }] }, 'f/oneOf'],
    [
      // 1.5e-30 is both.
      { oneOf: [{ type: 'number' }, { type: 'number', exclusiveMinimum: 1e-30, exclusiveMaximum: 2e-30 }] },
      'f/oneOf',
    ],
    [{ multipleOf: 0.123 }, 'f/multipleOf'],
    [{ type: 'object', minProperties: 2 }, 'f/minProperties'],
    [{ nullable: true }, 'f/nullable'],
  ])('of %j name %s', (schema, field) => {
    expect(() => jsonSchemaGrammar(schema, { where: 'f' })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD', fields: { field } }),
    );
  });

  it.each<[unknown, string]>([
    ['string', 'f'],
    [[], 'f'],
    [{ type: 'text' }, 'f/type'],
    [{ type: [] }, 'f/type'],
    [{ minLength: -1 }, 'f/minLength'],
    [{ maxItems: 1.5 }, 'f/maxItems'],
    [{ required: 'a' }, 'f/required'],
    [{ properties: [] }, 'f/properties'],
    [{ properties: { a: 1 } }, 'f/properties/a'],
    [{ anyOf: [] }, 'f/anyOf'],
    [{ multipleOf: 0 }, 'f/multipleOf'],
    [{ $ref: '#/$defs/none' }, 'f/$ref'],
    [{ $ref: '#/%zz' }, 'f/$ref'],
    [{ enum: {} }, 'f/enum'],
    [false, 'f'],
    [{ enum: [] }, 'f'],
    [{ type: 'string', minLength: 3, maxLength: 2 }, 'f'],
    [{ type: 'array', minItems: 3, maxItems: 2 }, 'f'],
    [{ type: 'integer', minimum: 1.2, maximum: 1.8 }, 'f'],
    [{ ...closed, required: ['a'] }, 'f'],
    [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, 'f'],
    [{ $ref: '#' }, 'f'],
    [{ $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, {}] } }, $ref: '#/$defs/a' }, 'f/$defs/a'],
  ])('of %j, which is wrong, name %s', (schema, field) => {
    expect(() => jsonSchemaGrammar(schema, { where: 'f' })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', fields: { field } }),
    );
  });
});

describe('hostile schemas', () => {
  const nested = (levels: number): unknown => (levels === 0 ? {} : { items: nested(levels - 1) });
  const chain = Object.fromEntries(
    Array.from({ length: 5000 }, (_, i) => [`d${i}`, { $ref: `#/$defs/d${i + 1}` }]),
  );
  const choices = Array.from({ length: 20 }, () => ({ anyOf: [{ minimum: 1 }, { maximum: 5 }] }));
  const itself: Record<string, unknown> = {};
  itself['items'] = itself;

  it.each<[string, unknown]>([
    ['deep ones', nested(200)],
    ['ones that hold themselves', itself],
    ['long chains of references', { $ref: '#/$defs/d0', $defs: chain }],
    ['products of choices', { allOf: choices }],
    ['patterns with exponentially many states', { pattern: '(a|b)*a(a|b){25}' }],
    ['nested counts', { pattern: '((((((a{0,100}){0,100}){0,100})b{0,100}){0,100}c?){0,100}d)*e' }],
    ['long patterns', { pattern: 'a'.repeat(5000) }],
    ['deep patterns', { pattern: `${'('.repeat(60)}a${')'.repeat(60)}` }],
    ['patterns with giant lengths', { type: 'string', pattern: '^[a-z]+$', maxLength: 1_000_000 }],
    ['lists that are too long', { enum: Array.from({ length: 200_000 }, (_, i) => i) }],
    [
      'counts of many members',
      {
        properties: Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`p${i}`, {}])),
        maxProperties: 500,
      },
    ],
    ['giant minima', { type: 'array', minItems: 1e12 }],
    ['numbers that are none', { minimum: Number.POSITIVE_INFINITY }],
  ])('end in an error: %s', (_, schema) => {
    expect(() => jsonSchemaGrammar(schema)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
  });

  it('are served where they are only large', () => {
    expect(derived({ type: 'number', maximum: 1e308, minimum: -5e-324 }, '0', '7', '-1')).toEqual(['0', '7']);
    expect(derived({ type: 'array', maxItems: 1e15, items: { const: 1 } }, '[1,1]')).toHaveLength(1);
    expect(derived({ type: 'string', maxLength: 2_147_483_647 }, '"a"')).toHaveLength(1);
  });

  it('cannot reach what objects inherit', () => {
    expect(() => jsonSchemaGrammar({ $ref: '#/constructor' })).toThrow(/leads nowhere/);
    expect(
      derived(
        JSON.parse('{"properties":{"__proto__":{"const":1}},"type":"object"}'),
        '{"__proto__":1}',
        '{"__proto__":2}',
      ),
    ).toEqual(['{"__proto__":1}']);
  });
});

describe('a grammar of several parts', () => {
  it('holds schemas among other texts', () => {
    const builder = new GrammarBuilder();
    const call = (name: string, schema: unknown) =>
      seq(text(`<${name}>`), schemaNode(builder, schema, name), text('</>'));
    const root = seq(
      call('a', { type: 'integer' }),
      call('b', { ...closed, properties: { x: { type: 'integer' } } }),
    );
    const grammar = builder.build(root);
    expect(accepts(grammar, '<a>1</><b>{"x":2}</>')).toBe(true);
    expect(accepts(grammar, '<a>"1"</><b>{}</>')).toBe(false);
  });

  it('holds any object, or any value', () => {
    const builder = new GrammarBuilder();
    const objects = builder.build(jsonObjectNode(builder));
    expect(accepts(objects, '{"a": [1, {"b": "\\u00e9\\n"}]}')).toBe(true);
    expect(accepts(objects, '[]')).toBe(false);
    expect(accepts(builder.build(jsonValueNode(builder)), '[]')).toBe(true);
  });

  it('has only rules that can be reached and that derive something', () => {
    const grammar = jsonSchemaGrammar({
      ...closed,
      properties: {
        a: { type: 'integer' },
        b: { ...closed, required: ['x'] },
        c: { type: 'string', format: 'date' },
      },
      maxProperties: 1,
    });
    const text = JSON.stringify(grammar);
    for (const name of Object.keys(grammar.rules))
      if (name !== 'root') expect(text).toContain(`{"ref":${JSON.stringify(name)}}`);
    expect(text).not.toContain('"or":[]');
    expect(text).not.toContain('\\"b\\"');
  });
});
