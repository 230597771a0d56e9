/** Answers of a form through the real core: from the tokenizer's vocabulary to text that fits. */
import { afterEach, describe, expect, it } from 'vitest';
import { Dispatcher } from '../../../ts/engine/dispatcher.js';
import { checkGenerateOptions, type Guidance } from '../../../ts/engine/generate-options.js';
import { LiveGeneration } from '../../../ts/engine/generation.js';
import { chars, type Grammar, or, ref, repeat, seq, text, token } from '../../../ts/engine/grammar/ir.js';
import { AnswerReader } from '../../../ts/engine/text/answer-reader.js';
import { loadModelText } from '../../../ts/engine/text/model-text.js';
import type { GenerateOptions, GenerationResult } from '../../../ts/engine/types.js';
import { Vocabulary } from '../../../ts/engine/vocabulary.js';
import { type NativeEngine, native } from '../../../ts/native.js';
import { tinyModel } from './engines.js';

const engines: NativeEngine[] = [];
afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.close()));
});

interface Rig {
  ask(
    guidance: Partial<Guidance>,
    options?: GenerateOptions,
    onToken?: () => void,
  ): Promise<GenerationResult>;
  engine: NativeEngine;
  give(): Promise<void>;
  encode(text: string): Int32Array;
  marker: number;
}

const engineOptions = {
  executor: 'cpu',
  mlxLibrary: '',
  modelPath: tinyModel,
  threads: 1,
  exact: false,
  kvBits: 16,
  blockTokens: 16,
  cacheBudgetBytes: 2 ** 24,
  maxBatchSize: 16,
  prefillStepTokens: 512,
  maxQueue: 256,
  maxAgents: 0,
  maxContext: 0,
  cacheDir: '',
  batchWindowMs: 0,
  speculation: true,
} as const;

async function rig(): Promise<Rig> {
  const { tokenizer } = await loadModelText(tinyModel);
  const dispatcher = new Dispatcher();
  const { engine, info } = await native().loadEngine(engineOptions, () => undefined, dispatcher.onStep);
  engines.push(engine);
  dispatcher.attach(engine);
  const { vocabSize } = info;
  const vocabulary = new Vocabulary({ engine, tokenizer, vocabSize });
  const ids = Array.from({ length: vocabSize }, (_, id) => id);
  return {
    engine,
    give: () => vocabulary.given(),
    encode: (said) => Int32Array.from(tokenizer.encode(said)),
    marker: ids.find((id) => tokenizer.isSpecial(id) && !info.eosIds.includes(id)) ?? -1,
    ask: (guidance, options = {}, onToken) => {
      const checked = checkGenerateOptions(options, { vocabSize, nextSeed: () => 1 });
      const reader = new AnswerReader({ detokenizer: tokenizer.detokenizer(), table: tokenizer, stops: [] });
      const one = new LiveGeneration({ agentId: '', options: checked, caller: new Error() });
      const tokens = tokenizer.encode('What is a tide mill?');
      void one.run(dispatcher, { tokens, reader, guidance }, () => undefined);
      if (onToken) void each(one, onToken);
      return one.result;
    },
  };
}

async function each(
  chunks: AsyncIterable<{ tokens: readonly number[] }>,
  onToken: () => void,
): Promise<void> {
  for await (const { tokens } of chunks) for (const _ of tokens) onToken();
}

const json = (grammar: Grammar) => JSON.stringify(grammar);
const letter = chars([0x61, 0x7a], [0xe0, 0xef], [0x1f600, 0x1f64f]);
const person = json({
  rules: {
    root: seq(text('{"name": "'), repeat(letter, 1, 12), text('", "known": '), ref('flag'), text('}')),
    flag: or(text('true'), text('false')),
  },
});

describe('an answer of a form', () => {
  it('fits it, however it is drawn, side by side with free ones', async () => {
    const { ask, give } = await rig();
    await give();
    const free = await ask({}, { maxTokens: 30, ignoreEos: true });
    const runs = Array.from({ length: 12 }, (_, seed) =>
      ask({ grammar: person }, { temperature: seed % 3, seed, ignoreEos: seed % 2 === 0 }),
    );
    const beside = ask({}, { maxTokens: 30, ignoreEos: true });
    for (const { text: said, finishReason } of await Promise.all(runs)) {
      expect(finishReason).toBe('stop');
      expect(JSON.parse(said)).toEqual({
        name: expect.stringMatching(/^[a-z\u00e0-\u00ef\u{1f600}-\u{1f64f}]{1,12}$/u),
        known: expect.any(Boolean),
      });
    }
    expect((await beside).tokens).toEqual(free.tokens);
  });

  it('has a marker where the form says so', async () => {
    const { ask, give, marker } = await rig();
    await give();
    const { tokens } = await ask({ grammar: json({ rules: { root: seq(token(marker), text('a')) } }) });
    expect(tokens[0]).toBe(marker);
  });

  it('follows a script as far as the form goes along', async () => {
    const { ask, give, encode } = await rig();
    await give();
    const script = encode('{"name": "ann", "known": true}');
    expect(await ask({ grammar: person, script })).toMatchObject({ text: '{"name": "ann", "known": true}' });
    const other = await ask({ grammar: person, script: encode('{"name": "ann", "unknown": 1}') });
    expect(other.text).toMatch(/^\{"name": "ann", "known": (true|false)\}$/);
  });

  it('is refused with a grammar that is none, or without a vocabulary', async () => {
    const { ask, give } = await rig();
    await expect(ask({ grammar: person })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await give();
    const recursive = json({ rules: { root: or(seq(ref('root'), text('a')), text('a')) } });
    await expect(ask({ grammar: recursive })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await expect(ask({ grammar: person })).resolves.toMatchObject({ finishReason: 'stop' });
  });
});

describe('a grammar that takes long to compile', () => {
  // Thousands of states, as a few patterns of a schema become.
  const words = Array.from({ length: 2500 }, (_, i) =>
    seq(...[...`w${i * i}`].map((c) => or(text(c), text(`${c}-`)))),
  );
  const slow = json({ rules: { root: repeat(or(...words), 1, 3) } });

  it('holds nobody up who is answering', async () => {
    const { ask, give, engine } = await rig();
    await give();
    let told = 0;
    const stream = ask({}, { maxTokens: 2000, ignoreEos: true }, () => {
      told += 1;
    });
    await engine.compile(json({ rules: { root: text('a') } }));
    const before = told;
    const begun = performance.now();
    await engine.compile(slow);
    const took = performance.now() - begun;
    expect(told - before).toBeGreaterThan(5);
    const known = performance.now();
    await engine.compile(slow);
    expect(performance.now() - known).toBeLessThan(took / 4);
    await stream;
  });

  it('is given up when the engine is closed', async () => {
    const { give, engine } = await rig();
    await give();
    const all = Array.from({ length: 20 }, (_, i) => engine.compile(slow.replace('w0', `v${i}`)));
    const ends = Promise.allSettled(all);
    await engine.close();
    engines.splice(0);
    const reasons = (await ends)
      .filter((end) => end.status === 'rejected')
      .map(({ reason }) => reason as unknown);
    expect(reasons.length).toBeGreaterThan(0);
    for (const reason of reasons) expect(reason).toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});

describe('thoughts', () => {
  it('are ended when their budget is used up', async () => {
    const { ask, encode } = await rig();
    const reasoningEnd = encode('</think>');
    const { tokens } = await ask({ reasoningEnd, reasoningBudget: 5 }, { maxTokens: 30, ignoreEos: true });
    expect(tokens.slice(5, 5 + reasoningEnd.length)).toEqual([...reasoningEnd]);
    expect(tokens).toHaveLength(30);
  });
});
