/** Arguments that are texts: of a URL's query, and of a command line. */
import { expect, it } from 'vitest';
import type { ObjectSchema } from '../../../ts/tools/parameters.js';
import { argumentsFromWords } from '../../../ts/tools/words.js';

const schema = {
  type: 'object',
  properties: { meta: { type: 'object', description: 'Anything', additionalProperties: true } },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

it('leaves what only looks like a number as it was written', () => {
  const pairs = ['a=1', 'b=-0.5', 'c=1.10', 'd=12345678901234567890', 'e=1e5', 'f=0012', 'g=null', 'h="1"'];
  expect(argumentsFromWords(schema, new Map([['meta', pairs]]))).toEqual({
    meta: { a: 1, b: -0.5, c: '1.10', d: '12345678901234567890', e: '1e5', f: '0012', g: null, h: '1' },
  });
});

it('hands on names that nobody knows, for the reader of the schema to refuse', () => {
  const found = argumentsFromWords(schema, new Map([['__proto__', ['1']]]));
  expect(Object.keys(found)).toEqual(['__proto__']);
});
