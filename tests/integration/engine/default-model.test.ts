/** The model that is served when none is named. Downloads it on the first run of this machine. */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import { defaultModel } from '../../../ts/engine/models/known-models.js';
import { loadModelText, type ModelText } from '../../../ts/engine/text/model-text.js';
import type { ChatMessage } from '../../../ts/engine/types.js';
import { textOf } from '../../chunks.js';
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
      expect(text.template.render(messages, { addGenerationPrompt: add_generation_prompt })).toBe(rendered);
      expect(text.tokenizer.encode(rendered)).toEqual(ids);
    }
  });

  it('talks sense, and comes to an end by itself', async () => {
    const planets = engine.agent('ann').chat('List the planets of the solar system.', { maxTokens: 60 });
    let answer = '';
    for await (const chunk of planets) answer += textOf(chunk);
    expect(answer).toMatch(/Earth.*Mars.*Jupiter.*Saturn/s);
    const colours = [
      { role: 'user', content: 'Name three primary colours.' },
      { role: 'assistant', content: 'Red, yellow and blue.' },
      { role: 'user', content: 'What do you get when you mix the first two?' },
    ] as const;
    const mixed = await engine.agent('bob').chat(colours, { maxTokens: 60 }).result;
    expect(mixed).toMatchObject({ text: expect.stringContaining('orange') as string, finishReason: 'stop' });
    const next = await engine.agent('ann').chat('Thank you.', { maxTokens: 5 }).result;
    const { usage } = await planets.result;
    expect(next.usage.ownTokens).toBeGreaterThanOrEqual(usage.promptTokens + usage.generatedTokens - 1);
  });

  it('stops computing when its loop is left', async () => {
    const generation = engine
      .agent('ann')
      .chat('Tell me a long story.', { maxTokens: 2000, ignoreEos: true });
    for await (const chunk of generation) {
      expect(textOf(chunk)).not.toBe('');
      break;
    }
    const result = await generation.result;
    expect(result.finishReason).toBe('cancelled');
    expect(result.usage.generatedTokens).toBeLessThan(100);
    expect((await engine.stats()).active).toBe(0);
  });

  it('holds the event loop up for no longer than a few milliseconds while many answers run', async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const turns = Array.from(
      { length: 8 },
      (_, i) =>
        engine.agent(`many-${i}`).chat(`Tell me about the number ${i}.`, { maxTokens: 8, ignoreEos: true })
          .result,
    );
    const answers = await Promise.all(turns);
    delay.disable();
    expect(answers.every((one) => one.usage.generatedTokens === 8)).toBe(true);
    expect(delay.percentile(50) / 1e6).toBeLessThan(10);
  });
});
