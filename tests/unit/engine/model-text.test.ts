import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { folderTextParts } from '../../../ts/engine/text/folder-text.js';
import { ggufTextParts } from '../../../ts/engine/text/gguf-text.js';
import { loadModelText, modelText } from '../../../ts/engine/text/model-text.js';
import type { GgufMetadata } from '../../../ts/native.js';
import { gpt2Parts } from './vocabularies.js';

const folders: string[] = [];

function folder(files: Record<string, unknown>): string {
  const path = mkdtempSync(join(tmpdir(), 'stomp-text-'));
  folders.push(path);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(path, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return path;
}

afterAll(() => {
  for (const path of folders) rmSync(path, { recursive: true });
});

const { json } = gpt2Parts();
// In the order of their ids, which is not that of the object's keys.
const names = Object.entries(json.model.vocab)
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name);

/** The same vocabulary as GGUF metadata tell it. */
function metadata(changes: GgufMetadata = {}): GgufMetadata {
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': names,
    'tokenizer.ggml.token_type': names.map((_, id) => (id < 2 ? 3 : 1)),
    'tokenizer.ggml.merges': ['a b', 'ab c', 'b c'],
    'tokenizer.ggml.bos_token_id': 0,
    'tokenizer.ggml.eos_token_id': 1,
    'tokenizer.ggml.add_bos_token': 1,
    'tokenizer.chat_template': '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}',
    ...changes,
  };
}

describe('the text side of a GGUF file', () => {
  it('encodes as the same vocabulary in a tokenizer.json does', async () => {
    const gguf = await modelText(ggufTextParts(metadata()));
    const plain = await modelText(gpt2Parts());
    for (const text of ['abc</s>ab c', 'naïve 1234', '<s>']) {
      expect(gguf.tokenizer.encode(text)).toEqual(plain.tokenizer.encode(text));
    }
    expect(gguf.template.render([{ role: 'user', content: 'hi' }])).toBe('<s>hi</s>');
    expect(gguf.tokenizer.encode('a', { bos: true })[0]).toBe(0);
  });

  it('puts nothing before a text unless the file says so', async () => {
    const { tokenizer } = await modelText(ggufTextParts(metadata({ 'tokenizer.ggml.add_bos_token': 0 })));
    expect(tokenizer.encode('a', { bos: true })).toEqual(tokenizer.encode('a'));
  });

  it('splits numbers as each kind of vocabulary does', async () => {
    const tokens = [...names, '12', '123', '1234'];
    const pieces = async (pre: string) => {
      const numbers = {
        'tokenizer.ggml.pre': pre,
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.token_type': tokens.map(() => 1),
        'tokenizer.ggml.merges': ['1 2', '12 3', '123 4'],
      };
      const { tokenizer } = await modelText(ggufTextParts(metadata(numbers)));
      return tokenizer.encode('1234').map((token) => tokenizer.decode([token]));
    };
    expect(await pieces('gpt-2')).toEqual(['1234']);
    expect(await pieces('llama-bpe')).toEqual(['123', '4']);
    expect(await pieces('smollm')).toEqual(['1', '2', '3', '4']);
  });

  it.each([
    ['tokenizer.ggml.model', 'bert', 'MODEL_UNSUPPORTED', 'bert'],
    ['tokenizer.ggml.model', undefined, 'MODEL_UNSUPPORTED', 'gpt2'],
    ['tokenizer.ggml.pre', 'future-bpe', 'MODEL_UNSUPPORTED', 'future-bpe'],
    ['tokenizer.ggml.pre', 7, 'MODEL_UNSUPPORTED', 'smollm'],
    ['tokenizer.ggml.tokens', undefined, 'MODEL_INVALID', 'tokens'],
    ['tokenizer.ggml.tokens', [1, 2], 'MODEL_INVALID', 'tokens'],
    ['tokenizer.ggml.merges', 'a b', 'MODEL_INVALID', 'merges'],
    ['tokenizer.ggml.merges', ['ab'], 'MODEL_INVALID', 'ab'],
    ['tokenizer.ggml.token_type', [1], 'MODEL_INVALID', 'token_type'],
    ['tokenizer.ggml.bos_token_id', 99_999, 'MODEL_INVALID', '99999'],
    ['tokenizer.ggml.eos_token_id', 'x', 'MODEL_INVALID', 'eos_token_id'],
  ])('refuses %s = %j with %s', (key, value, code, mention) => {
    const changed = { ...metadata(), [key]: value } as GgufMetadata;
    expect(() => ggufTextParts(changed)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(mention) }),
    );
  });
});

describe('the text side of a model folder', () => {
  const config = {
    bos_token: { content: '<s>' },
    eos_token: '</s>',
    chat_template: '{{ bos_token }}from config',
  };

  it('takes markers and template from tokenizer_config.json', async () => {
    const { template } = await loadModelText(
      folder({ 'tokenizer.json': json, 'tokenizer_config.json': config }),
    );
    expect(template.render([])).toBe('<s>from config');
  });

  it('prefers a template file, and among several templates the default one', async () => {
    const file = {
      'tokenizer.json': json,
      'tokenizer_config.json': config,
      'chat_template.jinja': 'from file',
    };
    expect((await loadModelText(folder(file))).template.render([])).toBe('from file');
    const several = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    const named = { 'tokenizer.json': json, 'tokenizer_config.json': { chat_template: several } };
    expect((await loadModelText(folder(named))).template.render([])).toBe('plain');
  });

  it('begins raw texts as the post-processor says, else as the configuration says', async () => {
    const single = [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
    const processor = {
      type: 'Sequence',
      processors: [
        { type: 'ByteLevel' },
        {
          type: 'TemplateProcessing',
          single,
          pair: [],
          special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
        },
      ],
    };
    const processed = await folderTextParts(
      folder({ 'tokenizer.json': { ...json, post_processor: processor } }),
    );
    expect(processed.bosIds).toEqual([0]);
    const asked = { 'tokenizer.json': json, 'tokenizer_config.json': { ...config, add_bos_token: true } };
    expect((await folderTextParts(folder(asked))).bosIds).toEqual([0]);
    expect((await folderTextParts(folder({ 'tokenizer.json': json }))).bosIds).toEqual([]);
  });

  it('takes every numeric character for a digit, as the format means it', async () => {
    const pretokenizers = [{ type: 'Digits', individual_digits: true }, json.pre_tokenizer];
    const half = { ...json, pre_tokenizer: { type: 'Sequence', pretokenizers } };
    const { tokenizer } = await loadModelText(folder({ 'tokenizer.json': half }));
    const space = tokenizer.encode(' ');
    expect(tokenizer.encode(' ½').slice(0, 1)).toEqual(space);
  });

  it.each([
    [{}, 'MODEL_INVALID', 'tokenizer.json'],
    [{ 'tokenizer.json': '{"model": ' }, 'MODEL_INVALID', 'tokenizer.json'],
    [{ 'tokenizer.json': '[]' }, 'MODEL_UNSUPPORTED', 'BPE'],
    [{ 'tokenizer.json': { model: { type: 'Unigram', vocab: [] } } }, 'MODEL_UNSUPPORTED', 'Unigram'],
    [
      { 'tokenizer.json': { ...json, model: { type: 'BPE', merges: [], vocab: {} } } },
      'MODEL_INVALID',
      'vocabulary',
    ],
    [
      { 'tokenizer.json': { ...json, model: { type: 'BPE', merges: [], vocab: { a: 1e12 } } } },
      'MODEL_INVALID',
      'vocabulary',
    ],
    [{ 'tokenizer.json': { ...json, added_tokens: [{ content: 'x' }] } }, 'MODEL_INVALID', 'added token'],
    [{ 'tokenizer.json': { ...json, pre_tokenizer: { type: 'Novel' } } }, 'MODEL_UNSUPPORTED', 'Novel'],
    [{ 'tokenizer.json': json, 'tokenizer_config.json': '{' }, 'MODEL_INVALID', 'tokenizer_config.json'],
  ])('refuses %# with %s', async (files, code, mention) => {
    await expect(loadModelText(folder(files as Record<string, unknown>))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(mention) as string,
    });
  });
});
