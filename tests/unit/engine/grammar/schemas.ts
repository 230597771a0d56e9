/** Random schemas of the keywords that are served. */
import * as fc from 'fast-check';

const names = ['a', 'b', 'ab', 'key "q"', 'ü', 'x\ny'];
const patterns = [
  '^a',
  'b$',
  '[0-9]',
  '^[^b]*$',
  '^\\p{L}+$',
  'a|b',
  '^.{2,4}$',
  '^(?:ab)*c?$',
  '\\\\',
  '^$',
];
const small = fc.integer({ min: 0, max: 4 });
const limit = fc.oneof(
  fc.integer({ min: -50, max: 50 }),
  fc.integer({ min: -5000, max: 5000 }).map((n) => n / 100),
);

const strings = fc.record(
  { minLength: small, maxLength: small.map((n) => n + 2), pattern: fc.constantFrom(...patterns) },
  { requiredKeys: [] },
);

const numbers = fc.record(
  {
    minimum: limit,
    maximum: limit.map((n) => n + 60),
    exclusiveMinimum: limit,
    exclusiveMaximum: limit.map((n) => n + 60),
    multipleOf: fc.constantFrom(1, 2, 0.5, 0.25, 0.01, 10, 7, 100),
  },
  { requiredKeys: [] },
);

const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  limit,
  fc.constantFrom(...names),
  fc.string(),
);
const constant = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(fc.constantFrom(...names), fc.oneof(scalar, fc.array(scalar, { maxLength: 2 })), {
    maxKeys: 3,
  }),
);

const values = fc.record(
  {
    enum: fc.array(constant, {
      minLength: 1,
      maxLength: 6,
    }),
    const: constant,
  },
  { requiredKeys: ['enum'] },
);

const types = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];
const typed = fc.record({ type: fc.oneof(fc.constantFrom(...types), fc.subarray(types, { minLength: 1 })) });

/** A schema with a definition that refers to itself. */
export const schemas: fc.Arbitrary<Record<string, unknown>> = fc
  .letrec<{ schema: unknown; object: object; array: object }>((tie) => ({
    schema: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.constantFrom<unknown>(true, { type: 'string' }, { type: 'integer' }, { $ref: '#/$defs/list' }),
      strings,
      numbers,
      values,
      typed,
      fc.tuple(typed, strings, numbers).map((parts) => Object.assign({}, ...parts)),
      tie('object'),
      tie('array'),
      fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
      fc.record({
        allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
        ...{ type: fc.constant('object') },
      }),
      fc.record({ oneOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    ),
    array: fc.record(
      {
        type: fc.constant('array'),
        items: tie('schema'),
        prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }),
        minItems: small,
        maxItems: small.map((n) => n + 2),
      },
      { requiredKeys: ['type'] },
    ),
    object: fc.record(
      {
        type: fc.constant('object'),
        properties: fc.dictionary(fc.constantFrom(...names), tie('schema'), { maxKeys: 4 }),
        required: fc.subarray(names, { maxLength: 3 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
        patternProperties: fc.dictionary(fc.constantFrom(...patterns), tie('schema'), { maxKeys: 2 }),
        propertyNames: strings,
        minProperties: small,
        maxProperties: small.map((n) => n + 2),
      },
      { requiredKeys: ['type'] },
    ),
  }))
  // As they come off the wire: plain objects.
  .schema.map((schema) => ({
    allOf: [JSON.parse(JSON.stringify(schema))],
    $defs: {
      list: { type: 'object', properties: { next: { $ref: '#/$defs/list' }, n: { type: 'integer' } } },
    },
  }));
