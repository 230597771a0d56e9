/** Schemas of the public suite through the real core: whatever answer comes to its end is valid. */
import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import { jsonSchemaGrammar } from '../../../ts/engine/grammar/json-schema.js';
import type { JsonSchema } from '../../../ts/engine/types.js';
import { StompError } from '../../../ts/errors.js';
import { fixture, tinyModel } from './engines.js';

interface Group {
  description: string;
  schema: unknown;
}

const seeds = [1, 2, 3];
const suite = fixture('json-schema-test-suite/draft2020-12');
/** Schemas asked for at once: more than the batch holds, so that some wait. */
const atOnce = 8;

/** Schemas that are served, as objects; `true` and `false` are none that a request can name. */
function served(): [name: string, schema: JsonSchema][] {
  const files = readdirSync(suite, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.json'),
  );
  const groups = files.sort().flatMap((file) => {
    const all = JSON.parse(readFileSync(`${suite}/${file}`, 'utf8')) as Group[];
    return all.map(({ description, schema }): [string, unknown] => [`${file}: ${description}`, schema]);
  });
  return groups.filter((group): group is [string, JsonSchema] => isServed(group[1]));
}

function isServed(schema: unknown): schema is JsonSchema {
  if (typeof schema !== 'object') return false;
  try {
    jsonSchemaGrammar(schema);
    return true;
  } catch (error) {
    if (error instanceof StompError) return false;
    throw error;
  }
}

let engine: Engine;
/** Closing tokens are made likely, so that a model that knows nothing comes to an end. */
let closing: Record<number, number>;

beforeAll(async () => {
  engine = await Engine.load(tinyModel, { executor: 'cpu', threads: 1, cacheBudgetMb: 64, cacheDir: null });
  const ids = ['"', '}', ']'].flatMap((text) => engine.tokenizer.encode(text));
  closing = Object.fromEntries(ids.map((id) => [id, 4]));
});
afterAll(() => engine.close());

async function answers(schema: JsonSchema): Promise<string[]> {
  const asked = seeds.map((seed) =>
    engine.chat('Tell me of a tide mill.', {
      responseFormat: { type: 'json_schema', schema },
      temperature: 1,
      seed,
      maxTokens: 96,
      logitBias: closing,
    }),
  );
  const results = await Promise.all(asked.map(({ result }) => result));
  return results.filter(({ finishReason }) => finishReason === 'stop').map(({ text }) => text);
}

/** Undefined where the validator cannot follow a reference into a metaschema. */
function validator(schema: JsonSchema): ((value: unknown) => boolean) | undefined {
  // Formats are held to by grammars and have tests of their own; without them `format` is a note.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, multipleOfPrecision: 6, logger: false });
  try {
    return ajv.compile(schema);
  } catch {
    return undefined;
  }
}

interface Report {
  ended: number;
  checked: number;
  wrong: string[];
}

async function check([name, schema]: [string, JsonSchema], report: Report): Promise<void> {
  const validate = validator(schema);
  for (const answer of await answers(schema)) {
    report.ended += 1;
    const value: unknown = JSON.parse(answer);
    if (validate === undefined) continue;
    report.checked += 1;
    if (!validate(value)) report.wrong.push(`${name}: ${answer}`);
  }
}

describe('the schemas of the JSON Schema test suite', () => {
  it('are kept by every answer that comes to its end', async () => {
    const waiting = served();
    const schemas = waiting.length;
    const report: Report = { ended: 0, checked: 0, wrong: [] };
    const next = async (): Promise<void> => {
      for (let one = waiting.pop(); one; one = waiting.pop()) await check(one, report);
    };
    await Promise.all(Array.from({ length: atOnce }, next));
    expect(report.wrong).toEqual([]);
    expect(schemas).toBeGreaterThan(200);
    expect(report.ended).toBeGreaterThan(schemas * seeds.length * 0.9);
    expect(report.checked).toBeGreaterThan(report.ended * 0.9);
  });
});
