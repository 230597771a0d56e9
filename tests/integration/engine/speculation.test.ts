/** Drafts make an answer come sooner and never another one, also where a form says what may come. */
import { describe, expect, it } from 'vitest';
import type { ChatOptions, GenerationResult } from '../../../ts/engine/types.js';
import { load, roomyModel } from './engines.js';

// Keys that come again are what drafts are made of.
const station = {
  type: 'object',
  properties: { station: { enum: ['north', 'south'] }, metres: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['station', 'metres'],
  additionalProperties: false,
};
const stations = {
  type: 'object',
  properties: { stations: { type: 'array', items: station, minItems: 6, maxItems: 6 } },
  required: ['stations'],
  additionalProperties: false,
};
const tools = [{ name: 'report', description: 'Reports the tide.', parameters: stations }];

const forms: [string, ChatOptions][] = [
  ['a schema', { responseFormat: { type: 'json_schema', schema: stations } }],
  ['a forced call', { tools, toolChoice: { name: 'report' }, parallelToolCalls: false }],
];
const draws: [string, ChatOptions][] = [
  ['likeliest', {}],
  ['drawn', { temperature: 0.8, seed: 5 }],
];

/** Everything that a caller sees of it, but for how it came about. */
const seen = ({ text, toolCalls, logprobs, tokens, finishReason }: GenerationResult) => ({
  text,
  calls: toolCalls.map((call) => [call.name, call.arguments]),
  logprobs,
  tokens,
  finishReason,
});

describe.each(forms)('an answer held to %s', (_, form) => {
  it.each(draws)('is the same with drafts and without: %s', async (_, draw) => {
    const options = { ...form, ...draw, maxTokens: 600, topLogprobs: 1 };
    const ask = async (speculation: 'auto' | 'off') => {
      const engine = await load(roomyModel(), { speculation, numerics: 'exact', cacheBudgetMb: 64 });
      return engine.chat('How high is the tide at each station?', options).result;
    };
    const [plain, drafted] = [await ask('off'), await ask('auto')];
    const [call] = drafted.toolCalls;
    const said = JSON.parse(call?.arguments ?? drafted.text) as { stations: unknown[] };
    expect(said.stations).toHaveLength(6);
    expect(seen(drafted)).toEqual(seen(plain));
    expect(plain.usage.draftedTokens).toBe(0);
    expect(drafted.usage.draftedTokens).toBeGreaterThan(0);
    expect(drafted.usage.acceptedTokens).toBeGreaterThan(0);
  });
});
