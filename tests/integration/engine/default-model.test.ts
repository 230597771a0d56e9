/** The model that is served when none is named. Downloads it on the first run of this machine. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { loadModelText, type ModelText } from '../../../ts/engine/text/model-text.js';
import type { ChatMessage } from '../../../ts/engine/types.js';
import { fixture } from './engines.js';

interface Golden {
  texts: { text: string; ids: number[] }[];
  conversations: { messages: ChatMessage[]; add_generation_prompt: boolean; text: string; ids: number[] }[];
}

const golden = JSON.parse(readFileSync(fixture('golden/smollm2-tokenizer.json'), 'utf8')) as Golden;
const phases = new Set<string>();
let engine: Engine;
let text: ModelText;

beforeAll(async () => {
  const onProgress = ({ phase }: { phase: string }) => phases.add(phase);
  engine = await Engine.load(defaultModel, { cacheDir: null, cacheBudgetMb: 256, onProgress });
  text = await loadModelText(engine.info.path);
}, 600_000);

afterAll(() => engine?.close());

describe('the default model', () => {
  it('says what it is', () => {
    expect(engine.info).toMatchObject({
      model: defaultModel,
      family: 'llama',
      layers: 30,
      vocabSize: 49152,
      contextTokens: 8192,
      kvBits: 16,
      cacheDir: undefined,
      executor: { name: process.platform === 'darwin' ? 'mlx' : 'cpu' },
    });
    expect(engine.info.fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect(phases).toContain('load');
  });

  it('encodes and decodes as the reference implementation does', async () => {
    expect(golden.texts.length).toBeGreaterThan(50);
    for (const { text: plain, ids } of golden.texts) {
      expect(engine.tokenizer.encode(plain), plain).toEqual(ids);
      expect((await text.tokenizer.encodeInSlices(plain)).tokens, plain).toEqual(ids);
      expect(engine.tokenizer.decode(ids)).toBe(plain);
    }
  });

  it('renders conversations as the reference implementation does', () => {
    expect(golden.conversations.length).toBeGreaterThan(5);
    for (const { messages, add_generation_prompt, text: rendered, ids } of golden.conversations) {
      expect(text.template.render(messages, add_generation_prompt)).toBe(rendered);
      expect(text.tokenizer.encode(rendered)).toEqual(ids);
    }
  });

  it('talks sense', async () => {
    const generation = engine.agent('ann').chat('What is the capital of France?', { maxTokens: 40 });
    let answer = '';
    for await (const chunk of generation) answer += chunk.text;
    expect(answer).toContain('Paris');
    const next = await engine.agent('ann').chat('Which river runs through it?', { maxTokens: 30 }).result;
    expect(next.text).toContain('Seine');
    const first = await generation.result;
    expect(next.usage.ownTokens).toBeGreaterThanOrEqual(
      first.usage.promptTokens + first.usage.generatedTokens - 1,
    );
  });
});
