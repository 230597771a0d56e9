/** What tools take: values beyond those that the guard's tools have. */
import { describe, expect, it } from 'vitest';
import { type ObjectSchema, readArguments } from '../../../ts/tools/parameters.js';

const entry = {
  type: 'object',
  properties: { message: { type: 'string', description: 'What happened' } },
  required: ['message'],
  additionalProperties: false,
} as const;
const text = { type: 'string', description: 'A text' } as const;
const list = { type: 'array', description: 'Texts', items: text, minItems: 1, maxItems: 2 } as const;
const schema = {
  type: 'object',
  properties: {
    share: { type: 'number', description: 'A share', minimum: 0, maximum: 1 },
    meta: { type: 'object', description: 'Anything', additionalProperties: true },
    tags: { description: 'One or more', anyOf: [text, list] },
    items: { ...list, items: { description: 'One', anyOf: [text, entry] } },
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

const read = (value: object) => readArguments(schema, value);
const refusal = (value: object) => {
  try {
    read(value);
  } catch (error) {
    return error as { message: string; fields: { field: string } };
  }
  return expect.unreachable('it was taken');
};

describe('the arguments of a tool', () => {
  it('may be any number within its range', () => {
    expect(read({ share: 0.25 })).toEqual({ share: 0.25 });
    for (const share of [-0.1, 1.1, Number.NaN, '0.5', true]) {
      expect(refusal({ share }).message).toContain('share must be a number from 0 to 1');
    }
  });

  it('may be an object of whatever names, which stay as they are', () => {
    const meta = { someName: { deep_er: [1, null] } };
    expect(read({ meta })).toEqual({ meta });
    for (const wrong of [[], 'x', 3]) expect(refusal({ meta: wrong }).fields.field).toBe('meta');
  });

  it('may be a text or a list, each with its own rules', () => {
    expect(read({ tags: 'a' })).toEqual({ tags: 'a' });
    expect(read({ tags: ['a', 'b'] })).toEqual({ tags: ['a', 'b'] });
    expect(read({ tags: null })).toEqual({});
    expect(refusal({ tags: 7 }).message).toContain('tags must be a text or a list');
    expect(refusal({ tags: [] }).message).toContain('a list of 1 to 2 entries');
    expect(refusal({ tags: ['a', 7] }).fields.field).toBe('tags[1]');
  });

  it('may be lists of texts and objects', () => {
    expect(read({ items: ['a', { message: 'b' }] })).toEqual({ items: ['a', { message: 'b' }] });
    expect(refusal({ items: [{ massage: 'b' }] }).message).toContain('Did you mean "message"?');
    expect(refusal({ items: [null] }).message).toContain('items[0] must be a text or an object');
  });
});
