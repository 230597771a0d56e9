/** The tokenizers that GGUF files name, held against the libraries that those models were made with. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ggufTextParts } from '../../../ts/engine/text/gguf-text.js';
import { modelText } from '../../../ts/engine/text/model-text.js';
import type { GgufMetadata } from '../../../ts/native.js';

interface Golden {
  readonly texts: readonly string[];
  readonly kinds: Record<string, { readonly metadata: GgufMetadata; readonly ids: readonly number[][] }>;
}

const golden = JSON.parse(
  readFileSync(new URL('../../fixtures/golden/gguf-tokenizers.json', import.meta.url), 'utf8'),
) as Golden;

/** Composed as Qwen's vocabulary takes a text. */
const wholeAgain: Record<string, (text: string) => string> = { qwen2: (text) => text.normalize('NFC') };

describe.each(Object.entries(golden.kinds))('%s', (name, { metadata, ids }) => {
  it('encodes every text as its library does, and decodes it again', async () => {
    const { tokenizer } = await modelText(ggufTextParts(metadata));
    for (const [i, text] of golden.texts.entries()) {
      const tokens = tokenizer.encode(text);
      expect({ text, tokens }).toEqual({ text, tokens: ids[i] });
      expect(tokenizer.decode(tokens)).toBe(wholeAgain[name]?.(text) ?? text);
    }
  });
});

describe('a SentencePiece vocabulary', () => {
  const { metadata } = golden.kinds['sentencepiece'] as { metadata: GgufMetadata };

  it('begins a text with its marker unless the file says not to', async () => {
    const begins = async (changes: GgufMetadata) => {
      const { tokenizer } = await modelText(ggufTextParts({ ...metadata, ...changes }));
      return tokenizer.encode('a', { bos: true })[0] === metadata['tokenizer.ggml.bos_token_id'];
    };
    expect(await begins({})).toBe(true);
    expect(await begins({ 'tokenizer.ggml.add_bos_token': 0 })).toBe(false);
  });

  it('is damaged without a score for every piece', () => {
    expect(() => ggufTextParts({ ...metadata, 'tokenizer.ggml.scores': [1] })).toThrow(
      expect.objectContaining({ code: 'MODEL_INVALID', message: expect.stringContaining('scores') }),
    );
  });
});
