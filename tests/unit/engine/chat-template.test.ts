import { Template } from '@huggingface/jinja';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../../../ts/engine/text/chat-template.js';
import { checkMessages } from '../../../ts/engine/text/messages.js';
import { loadModelText } from '../../../ts/engine/text/model-text.js';
import { fixture } from './vocabularies.js';

const compile = (source: string) => new Template(source);
const template = (source: string | undefined) => new ChatTemplate(source, { bos_token: '<s>' }, compile);

describe('ChatTemplate', () => {
  it('renders a conversation up to where the assistant is to speak', async () => {
    const { template: own } = await loadModelText(fixture('models/tiny-llama-f16'));
    expect(own.render([{ role: 'user', content: 'hi' }])).toBe(
      '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(own.render([{ role: 'user', content: 'hi' }], { addGenerationPrompt: false })).toBe(
      '<|im_start|>user\nhi<|im_end|>\n',
    );
  });

  it('puts text parts on lines of their own', () => {
    const parts = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ] as const;
    expect(template('{{ messages[0].content }}').render([{ role: 'user', content: parts }])).toBe('one\ntwo');
  });

  it('knows the markers of the model', () => {
    expect(template('{{ bos_token }}{{ messages[0].role }}').render([{ role: 'user', content: '' }])).toBe(
      '<s>user',
    );
  });

  it('passes on what a template refuses as INVALID_REQUEST', () => {
    const picky = template("{{ raise_exception('no system prompt, please') }}");
    expect(() => picky.render([{ role: 'system', content: 'x' }])).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining('no system prompt'),
      }),
    );
  });

  it('says that a model has none', () => {
    expect(() => template(undefined).render([])).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining('generate()') }),
    );
  });

  it('blames the model for what is no template', () => {
    for (const source of ['{% for %}', '{{', 'x'.repeat(2 ** 20 + 1)]) {
      expect(() => template(source).render([])).toThrow(expect.objectContaining({ code: 'MODEL_INVALID' }));
    }
  });
});

describe('checkMessages', () => {
  it('takes what chat APIs send, and copies it', () => {
    const messages = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: [{ type: 'text', text: 'hi' }], name: 'ann' },
    ];
    const checked = checkMessages(messages);
    expect(checked).toEqual(messages);
    expect(checked[1]).not.toBe(messages[1]);
  });

  it.each([
    [undefined, 'INVALID_REQUEST', 'messages'],
    [[], 'INVALID_REQUEST', 'messages'],
    [{ role: 'user', content: 'x' }, 'INVALID_REQUEST', 'messages'],
    [['hi'], 'INVALID_REQUEST', 'messages[0]'],
    [[{ role: 'robot', content: 'x' }], 'INVALID_REQUEST', 'messages[0].role'],
    [[{ role: 'user' }], 'INVALID_REQUEST', 'messages[0].content'],
    [[{ role: 'user', content: 7 }], 'INVALID_REQUEST', 'messages[0].content'],
    [[{ role: 'user', content: [] }], 'INVALID_REQUEST', 'messages[0].content'],
    [
      [{ role: 'user', content: [{ type: 'image', text: 'x' }] }],
      'INVALID_REQUEST',
      'messages[0].content[0].type',
    ],
    [
      [{ role: 'user', content: [{ type: 'text', text: 1 }] }],
      'INVALID_REQUEST',
      'messages[0].content[0].text',
    ],
    [[{ role: 'user', content: 'x', name: 3 }], 'INVALID_REQUEST', 'messages[0].name'],
    [[{ role: 'user', content: 'x', tool_calls: [] }], 'UNSUPPORTED_FIELD', 'tool_calls'],
  ])('refuses %j as %s by the name of the field', (messages, code, field) => {
    expect(() => checkMessages(messages)).toThrow(
      expect.objectContaining({ code, fields: expect.objectContaining({ field }) }),
    );
  });
});
