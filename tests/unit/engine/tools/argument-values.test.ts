import { describe, expect, it } from 'vitest';
import {
  argumentSchema,
  type JsonType,
  schemaTypes,
  valueAsJson,
} from '../../../../ts/engine/text/tools/argument-values.js';

const types = (schema: unknown, root: unknown = {}) => {
  const found = schemaTypes(schema, root);
  return found && [...found].sort();
};

describe('types of an argument', () => {
  it.each([
    [{ type: 'string' }, ['string']],
    [{ type: ['integer', 'null'] }, ['null', 'number']],
    [{ enum: ['a', 1, null] }, ['null', 'number', 'string']],
    [{ const: [1] }, ['array']],
    [{ anyOf: [{ type: 'string' }, { oneOf: [{ type: 'object' }] }] }, ['object', 'string']],
    [{ anyOf: [{ type: 'string' }, {}] }, undefined],
    [{}, undefined],
    [true, undefined],
  ])('of %j are %j', (schema, expected) => {
    expect(types(schema)).toEqual(expected);
  });

  it('are found behind references, and no reference leads on for ever', () => {
    const loop = { anyOf: Array.from({ length: 1000 }, () => ({ $ref: '#/$defs/loop' })) };
    const root = {
      properties: { a: { $ref: '#/$defs/a~1b' }, b: { $ref: '#/$defs/b' }, c: { $ref: '#/$defs/loop' } },
      $defs: { 'a/b': { type: 'boolean' }, b: { $ref: '#/$defs/b' }, loop },
    };
    expect(types(argumentSchema(root, 'a'), root)).toEqual(['boolean']);
    expect(types(argumentSchema(root, 'b'), root)).toBeUndefined();
    expect(types(argumentSchema(root, 'c'), root)).toEqual([]);
    expect(argumentSchema(root, 'toString')).toBeUndefined();
  });
});

describe('a written value', () => {
  it.each<[string, JsonType[] | undefined, string]>([
    ['12', ['number'], '12'],
    ['12', ['string', 'null'], '"12"'],
    ['12', ['string', 'number'], '12'],
    ['12', undefined, '12'],
    ['12345678901234567890', ['number'], '12345678901234567890'],
    ['None', ['string', 'null'], 'null'],
    ['False', ['boolean'], 'false'],
    ['"x"', undefined, '"\\"x\\""'],
    ['x y', ['number'], '"x y"'],
    ['[1', ['array'], '"[1"'],
    [' {"a": 1} ', ['object'], '{"a": 1}'],
  ])('%j, where %j may stand, is %s', (written, allowed, json) => {
    expect(valueAsJson(written, allowed && new Set(allowed))).toBe(json);
  });
});
