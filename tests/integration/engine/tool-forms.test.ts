/** Calls that are forced or strict, in the manner of every family, through the real core: all are valid calls. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import type { ChatOptions, GenerationResult } from '../../../ts/engine/types.js';
import * as templates from '../../unit/engine/tools/templates.js';
import { editJson, load, roomyModel } from './engines.js';

interface TokenizerFile {
  model: { vocab: Record<string, number>; merges: unknown[] };
  added_tokens: Record<string, unknown>[];
}

/** The tiny model with this template; the markers take the places of the tokens that were merged last. */
function familyModel(template: string, markers: readonly string[], special: boolean): string {
  const folder = roomyModel();
  editJson<Record<string, unknown>>(join(folder, 'tokenizer_config.json'), (config) => {
    config['chat_template'] = template;
  });
  editJson<TokenizerFile>(join(folder, 'tokenizer.json'), ({ model, added_tokens }) => {
    const known = new Set(added_tokens.map(({ content }) => content));
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special };
    for (const content of markers.filter((marker) => !known.has(marker))) {
      const [last, id] = Object.entries(model.vocab)
        .filter(([text]) => !known.has(text))
        .reduce((a, b) => (a[1] > b[1] ? a : b));
      delete model.vocab[last];
      model.merges.pop();
      added_tokens.push({ id, content, ...flags });
    }
  });
  return folder;
}

const parameters = {
  type: 'object',
  properties: { a: { type: 'integer', minimum: 0, maximum: 99 }, unit: { enum: ['m', 'km'] } },
  required: ['a', 'unit'],
  additionalProperties: false,
};
const tools = [
  { name: 'add', parameters, strict: true },
  { name: 'note', parameters, strict: true },
];

function expectValid({ name, arguments: args }: GenerationResult['toolCalls'][number]): void {
  expect(name).toMatch(/^(add|note)$/);
  const { a, unit, ...others } = JSON.parse(args) as Record<string, unknown>;
  expect([a, unit, others]).toEqual([expect.any(Number), expect.stringMatching(/^k?m$/), {}]);
}

const families: [name: string, template: string, markers: readonly string[], special: boolean][] = [
  ['qwen, special', templates.qwen, templates.qwenMarkers, true],
  ['qwen, added', templates.qwen, templates.qwenMarkers, false],
  ['qwen in plain text', templates.qwen, [], true],
  ['llama', templates.llama, templates.llamaMarkers, true],
  ['mistral', templates.mistral, templates.mistralMarkers, true],
  ['gemma', templates.gemma, templates.gemmaMarkers, true],
  ['harmony', templates.harmony, templates.harmonyMarkers, true],
  ['qwen-coder in plain text', templates.coder, [], true],
  ['qwen-coder, added', templates.coder, templates.qwenMarkers, false],
  ['glm', templates.glm, templates.glmMarkers, true],
  ['deepseek', templates.deepseek, templates.deepseekMarkers, true],
  ['no tools of its own', templates.chatml, templates.chatmlMarkers, true],
];

const kinds: [name: string, options: ChatOptions, least: number, most: number][] = [
  ['required', { toolChoice: 'required' }, 1, Number.POSITIVE_INFINITY],
  ['required, one at a time', { toolChoice: 'required', parallelToolCalls: false }, 1, 1],
  ['one tool', { toolChoice: { name: 'note' }, parallelToolCalls: false }, 1, 1],
  ['left to the model', { toolChoice: 'auto' }, 0, Number.POSITIVE_INFINITY],
];

async function answers(engine: Engine, options: ChatOptions): Promise<GenerationResult[]> {
  const common = { tools, reasoning: { enabled: false }, temperature: 1, maxTokens: 160 } as const;
  const asked = [1, 2, 3, 4, 5].map((seed) => engine.chat('Add 1 and 2.', { ...common, seed, ...options }));
  return await Promise.all(asked.map(({ result }) => result));
}

const came = ({ finishReason }: GenerationResult) => finishReason === 'stop' || finishReason === 'tool_calls';

describe.each([...families, ['the default model', '', [], true] as const])(
  'calls of %s',
  (name, ...family) => {
    const [template, markers, special] = family;
    const path = () => (template === '' ? defaultModel : familyModel(template, markers, special));
    // Its asides have no end that a form could demand, and this model does not find one.
    const endless = name === 'harmony';

    it.each(kinds)('are valid, whatever is drawn: %s', async (_kind, options, least, most) => {
      const engine = await load(path(), { cacheBudgetMb: 64 });
      const ended = (await answers(engine, options)).filter(came);
      if (most === 1 && !endless) expect(ended.length).toBeGreaterThan(2);
      for (const { toolCalls, text } of ended) {
        expect(toolCalls.length, text).toBeGreaterThanOrEqual(least);
        expect(toolCalls.length).toBeLessThanOrEqual(most);
        toolCalls.forEach(expectValid);
      }
    });
  },
);

it('says of a call that is cut off that it is, where only one is wanted', async () => {
  const engine = await load(familyModel(templates.qwen, [], true), { cacheBudgetMb: 64 });
  const options: ChatOptions = { toolChoice: { name: 'note' }, parallelToolCalls: false };
  let cut = 0;
  for (const maxTokens of [36, 40, 44, 48, 52, 56, 60]) {
    const all = await answers(engine, { ...options, maxTokens });
    for (const { toolCalls } of all.filter(came)) toolCalls.forEach(expectValid);
    cut += all.filter(
      ({ finishReason, toolCalls }) => finishReason === 'length' && toolCalls.length > 0,
    ).length;
  }
  expect(cut).toBeGreaterThan(0);
});
