import { Ajv2020 } from 'ajv/dist/2020.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Grammar } from '../../../../ts/engine/grammar/ir.js';
import { jsonSchemaGrammar } from '../../../../ts/engine/grammar/json-schema.js';
import { StompError } from '../../../../ts/errors.js';
import { accepts } from './acceptor.js';
import { schemas } from './schemas.js';
import { sentence } from './sentences.js';

const runs = 150;

/** Undefined where the schema is refused, as a caller is told. */
function compiled(schema: unknown): Grammar | undefined {
  try {
    return jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof StompError && /^(UNSUPPORTED_FIELD|INVALID_REQUEST)$/.test(error.code))
      return undefined;
    throw error;
  }
}

describe('a grammar of a schema', () => {
  it('derives nothing but JSON that the schema accepts', () => {
    const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 6 });
    let compiledCount = 0;
    fc.assert(
      fc.property(schemas, fc.infiniteStream(fc.nat()), (schema, numbers) => {
        const grammar = compiled(schema);
        if (grammar === undefined) return;
        compiledCount += 1;
        const validate = ajv.compile(schema);
        for (let i = 0; i < 5; i++) {
          const text = sentence(grammar, (below) => (numbers.next().value as number) % below);
          expect(validate(JSON.parse(text)), `${text} of ${JSON.stringify(schema)}`).toBe(true);
        }
      }),
      { numRuns: runs },
    );
    expect(compiledCount).toBeGreaterThan(runs / 3);
  }, 120_000);

  it('derives what it derives, in the reading of the acceptor too', () => {
    fc.assert(
      fc.property(schemas, fc.infiniteStream(fc.nat()), (schema, numbers) => {
        const grammar = compiled(schema);
        if (grammar === undefined) return;
        const text = sentence(grammar, (below) => (numbers.next().value as number) % below);
        expect(accepts(grammar, text)).toBe(true);
        expect(accepts(grammar, `${text}x`)).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('derives every integer that is within the bounds and a multiple, and no other', () => {
    const bound = fc.integer({ min: -1200, max: 1200 });
    fc.assert(
      fc.property(
        bound,
        fc.nat(1500),
        fc.integer({ min: 1, max: 30 }),
        bound,
        (minimum, span, multipleOf, value) => {
          const maximum = minimum + span;
          const grammar = compiled({ type: 'integer', minimum, maximum, multipleOf });
          const isIn = value >= minimum && value <= maximum && value % multipleOf === 0;
          expect(grammar !== undefined && accepts(grammar, String(value))).toBe(isIn);
        },
      ),
    );
  });

  it('derives every decimal that is within exclusive bounds, and no other', () => {
    const decimal = fc.integer({ min: -30_000, max: 30_000 }).map((n) => n / 1000);
    fc.assert(
      fc.property(decimal, decimal, decimal, (one, other, value) => {
        fc.pre(one !== other && value !== 0);
        const [exclusiveMinimum, exclusiveMaximum] = one < other ? [one, other] : [other, one];
        const grammar = jsonSchemaGrammar({ type: 'number', exclusiveMinimum, exclusiveMaximum });
        const isIn = value > exclusiveMinimum && value < exclusiveMaximum;
        expect(accepts(grammar, String(value))).toBe(isIn);
        expect(accepts(grammar, `${value}${Number.isInteger(value) ? '.' : ''}000`)).toBe(isIn);
      }),
    );
  });
});
