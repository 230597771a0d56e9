import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadModelText } from '../../../ts/engine/text/model-text.js';
import type { TextTokenizer } from '../../../ts/engine/text/tokenizer.js';
import { fixture, gpt2Parts, sentencePieceParts, textTokenizer } from './vocabularies.js';

let tiny: TextTokenizer;

beforeAll(async () => {
  tiny = (await loadModelText(fixture('models/tiny-llama-f16'))).tokenizer;
});

describe('TextTokenizer', () => {
  it('encodes as the reference implementation does', () => {
    const golden = JSON.parse(readFileSync(fixture('golden/tiny-llama.json'), 'utf8')) as {
      prompts: { text: string; ids: number[] }[];
    };
    expect(golden.prompts.length).toBeGreaterThan(2);
    for (const { text, ids } of golden.prompts) expect(tiny.encode(text)).toEqual(ids);
  });

  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(tiny.decode(tiny.encode(text))).toBe(text);
      }),
    );
  });

  it('encodes in slices exactly as in one go, on long texts of any kind', async () => {
    const piece = fc.oneof(
      fc.lorem({ mode: 'sentences', maxCount: 12 }),
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc.constantFrom('<|im_start|>', '<|im_end|>\n', '\n\n', "don't I'll", '  ', '1234', ' <|im', 'é ñ '),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
        const text = pieces.join('');
        expect((await tiny.encodeInSlices(text)).tokens).toEqual(tiny.encode(text));
      }),
      { numRuns: 150 },
    );
  });

  it('reports seams at markers, where both halves encode alone as they do together', async () => {
    const text = 'before<|im_start|>user\nhi<|im_end|>';
    const { tokens, seams } = await tiny.encodeInSlices(text);
    expect(seams.map((seam) => seam.char)).toEqual([text.indexOf('<|im_start'), text.indexOf('<|im_end')]);
    for (const { char, token } of seams) {
      expect(tiny.encode(text.slice(0, char))).toEqual(tokens.slice(0, token));
      expect((await tiny.encodeInSlices(text, char)).tokens).toEqual(tokens.slice(token));
    }
  });

  it('lets the event loop run during a long text', async () => {
    const text = readFileSync(fixture('text/perplexity.txt'), 'utf8').repeat(4);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await tiny.encodeInSlices(text);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });

  it('encodes texts that come together in turns of their own', async () => {
    let turn = 0;
    const count = () => {
      turn++;
      counter = setImmediate(count);
    };
    let counter = setImmediate(count);
    const ends = await Promise.all(
      Array.from({ length: 8 }, () => tiny.encodeInSlices('some words').then(() => turn)),
    );
    clearImmediate(counter);
    expect(new Set(ends).size).toBe(ends.length);
  });

  it('stops encoding when its signal is aborted', async () => {
    const abort = new AbortController();
    const encoding = tiny.encodeInSlices('some words and '.repeat(50_000), 0, abort.signal);
    setTimeout(() => abort.abort(), 1);
    await expect(encoding).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('puts the begin marker before a raw text once', async () => {
    const tokenizer = await textTokenizer(gpt2Parts({ bosIds: [0] }));
    const [begin] = tokenizer.encode('<s>');
    expect(tokenizer.encode('ab', { bos: true })[0]).toBe(begin);
    expect(tokenizer.encode('<s>ab', { bos: true })).toEqual(tokenizer.encode('<s>ab'));
  });

  it('treats only markers that swallow no space as seams', async () => {
    const tokenizer = await textTokenizer(
      gpt2Parts({ added: [{ id: 600, content: '<mask>', special: true, lstrip: true }] }),
    );
    expect(tokenizer.isSeam('a <mask>', 2)).toBe(false);
    expect(tokenizer.isSeam('a<s>', 1)).toBe(true);
    expect(tokenizer.isSeam('a<s>', 0)).toBe(false);
  });

  it('cuts no added token of several words', async () => {
    const tokenizer = await textTokenizer(
      gpt2Parts({ added: [{ id: 600, content: 'two words', special: false }] }),
    );
    const text = 'so many two words '.repeat(400);
    expect((await tokenizer.encodeInSlices(text)).tokens).toEqual(tokenizer.encode(text));
  });

  it('reads vocabularies with a space marker and bytes as fallback', async () => {
    const tokenizer = await textTokenizer(sentencePieceParts());
    const text = 'hello hé';
    const tokens = tokenizer.encode(text);
    expect(tokenizer.decode(tokens)).toBe(text);
    const chat = `a<s> hello ${'hello '.repeat(600)}<s>hello`;
    expect((await tokenizer.encodeInSlices(chat)).tokens).toEqual(tokenizer.encode(chat));
  });

  it('has no bytes and no text for ids that do not exist', () => {
    expect(tiny.bytes(1e6)).toHaveLength(0);
    expect(tiny.decode([1e6])).toBe('');
  });
});
