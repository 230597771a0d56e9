import { Template } from '@huggingface/jinja';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../../../../ts/engine/text/chat-template.js';
import type { ChatMessage, ToolDefinition } from '../../../../ts/engine/types.js';
import { chatml, coder, deepseek, gemma, glm, harmony, llama, mistral, opening, qwen } from './templates.js';

const template = (source: string) =>
  new ChatTemplate(source, { bos_token: '<s>' }, (text) => new Template(text));

const tools: ToolDefinition[] = [
  {
    name: 'add',
    description: 'Adds.',
    parameters: { type: 'object', properties: { a: { type: 'number' } } },
  },
];

const conversation: ChatMessage[] = [
  { role: 'user', content: 'Add.' },
  {
    role: 'assistant',
    content: 'Well.',
    reasoning: 'Hm.',
    toolCalls: [{ id: 'call_0123456789abcdef01234567', name: 'add', arguments: '{"a":1}' }],
  },
  { role: 'tool', content: '2', toolCallId: 'call_0123456789abcdef01234567' },
];

describe('the traits of a template', () => {
  it.each([
    ['qwen', qwen, { toolFormat: 'hermes', showsTools: true, calls: 'object', parallelCalls: true }],
    ['llama', llama, { toolFormat: 'llama', showsTools: true, calls: 'object', parallelCalls: false }],
    ['mistral', mistral, { toolFormat: 'mistral', showsTools: true, calls: 'object', parallelCalls: true }],
    ['harmony', harmony, { toolFormat: 'harmony', harmony: true, calls: 'object', parallelCalls: false }],
    ['gemma', gemma, { toolFormat: 'gemma', showsTools: false, calls: 'none' }],
    ['chatml', chatml, { toolFormat: 'hermes', showsTools: false, calls: 'none', thoughts: undefined }],
    ['coder', coder, { toolFormat: 'qwen-coder', showsTools: true, calls: 'object', parallelCalls: true }],
    ['glm', glm, { toolFormat: 'glm', showsTools: true, calls: 'object', parallelCalls: true }],
    ['deepseek', deepseek, { toolFormat: 'deepseek', showsTools: false, calls: 'object' }],
    ['opening', opening, { thoughts: ['<think>', '</think>'] }],
  ])('of %s say how calls are written', (_name, source, traits) => {
    expect(template(source).traits).toMatchObject(traits);
  });

  it('tell a template that wants arguments as text', () => {
    const wantsText = qwen.replace('(c.function.arguments | tojson)', "c.function.arguments.replace('', '')");
    expect(template(wantsText).traits).toMatchObject({ calls: 'text', showsTools: true });
    expect(template(wantsText).render(conversation, { tools })).toContain('"arguments": {"a":1}}');
  });

  it('of a form that is not known leave tools to the text of the messages', () => {
    const other = qwen.replace('{"name": "\' + c', '<invoke name="\' + c');
    expect(template(other).traits).toMatchObject({ toolFormat: 'hermes', showsTools: false });
  });
});

describe('a conversation with tools', () => {
  it('is rendered by a template that knows them', () => {
    expect(template(qwen).render(conversation, { tools })).toBe(
      '<|im_start|>system\n<tools>\n' +
        '{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": ' +
        '{"type": "object", "properties": {"a": {"type": "number"}}}}}\n</tools> <tool_call></tool_call>' +
        '<|im_end|>\n<|im_start|>user\nAdd.<|im_end|>\n' +
        '<|im_start|>assistant\n<think>\nHm.\n</think>\n\nWell.\n<tool_call>\n' +
        '{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('has ids of nine characters for Mistral, the same for call and result', () => {
    const text = template(mistral).render(conversation, { tools });
    const [call] = /"id": "([A-Za-z0-9]{9})"/.exec(text)?.slice(1) ?? [];
    expect(text).toContain(`"call_id": "${call}"`);
  });

  it('gives harmony thoughts and words before a call as one text', () => {
    expect(template(harmony).render(conversation, { tools: [{ name: 'add' }] })).toContain(
      'analysis<|message|>Hm.\nWell.<|end|><|start|>assistant to=functions.add<|channel|>commentary json' +
        '<|message|>{"a": 1}<|call|><|start|>functions.add to=assistant',
    );
  });

  it('stands in the text of the messages where the template knows no tools', () => {
    const text = template(chatml).render([{ role: 'system', content: 'Be brief.' }, ...conversation], {
      tools,
    });
    expect(text).toMatch(/^<\|im_start\|>system\nBe brief\.\n\n.*<tools>\n\{.*"name":"add".*\}\n<\/tools>/s);
    expect(text).toContain(
      '<|im_start|>assistant\nWell.\n<tool_call>\n{"name": "add", "arguments": {"a":1}}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n',
    );
  });

  it('keeps turns alternating where the template insists', () => {
    const more: ChatMessage[] = [
      ...conversation,
      { role: 'tool', content: '3' },
      { role: 'user', content: 'So?' },
    ];
    const text = template(gemma).render(more, { tools });
    expect(text).toContain(
      '{"name": "add", "parameters": {"a":1}}<end_of_turn>\n<start_of_turn>user\n' +
        '<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>\nSo?<end_of_turn>',
    );
  });

  it('passes on whether to think', () => {
    const user: ChatMessage[] = [{ role: 'user', content: 'x' }];
    expect(template(qwen).render(user, { thinking: false })).toMatch(/<think>\n\n<\/think>\n\n$/);
    expect(template(qwen).render(user, { thinking: true })).toMatch(/assistant\n$/);
  });

  it('tells the user what the system says where the template refuses it', () => {
    const refuses = gemma.replace(
      /\{%- set system.*?-%\}/,
      "{%- if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% set system = '' %}",
    );
    const messages: ChatMessage[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello.' },
    ];
    expect(template(refuses).render(messages)).toBe(
      '<s><start_of_turn>user\nBe brief.\n\nHello.<end_of_turn>\n<start_of_turn>model\n',
    );
    expect(template(refuses).render(messages, { tools })).toMatch(
      /user\nBe brief\.\n\n.*"add".*\n\nHello\.</s,
    );
  });

  it('has its calls one after the other where the template takes one at a time', () => {
    const call = (id: string, args: string) => ({ id, name: 'add', arguments: args });
    const both: ChatMessage[] = [
      { role: 'user', content: 'Add.' },
      { role: 'assistant', content: '', toolCalls: [call('1', '{"a":1}'), call('2', '{"a":2}')] },
      { role: 'tool', content: 'R2', toolCallId: '2' },
      { role: 'tool', content: 'R1', toolCallId: '1' },
    ];
    expect(template(llama).render(both, { tools })).toMatch(/"a": 1\}.*R1.*"a": 2\}.*R2/s);
  });

  it('is rendered by a template that counts on descriptions, though there are none', () => {
    const strict = qwen.replace(
      '{{ tool | tojson }}',
      '{{ tool | tojson }}{{ tool.function.description | trim }}',
    );
    const nameless: ToolDefinition[] = [{ name: 'add', parameters: { type: 'object' } }];
    expect(template(strict).traits.showsTools).toBe(true);
    expect(template(strict).render(conversation, { tools: nameless })).toContain('"description": ""');
  });

  it('has its tools in the text of the messages where the template fails at their schema', () => {
    const failing = qwen.replace(
      '{{ tool | tojson }}',
      '{{ tool | tojson }}{% set p = tool.function.parameters.properties %}' +
        '{% if p.a is defined %}{{ p.a.format | trim }}{% endif %}',
    );
    const lists: ToolDefinition[] = [{ name: 'add', parameters: { properties: { a: { type: 'array' } } } }];
    expect(template(failing).traits.showsTools).toBe(true);
    const text = template(failing).render(conversation, { tools: lists });
    expect(text).toMatch(/You can call these functions:\n<tools>\n\{.*"name":"add"/);
    expect(text).toContain('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>');
  });

  it('has a message without text as null where an empty text would be a message more', () => {
    const extra = qwen.replace(
      '{{- m.content | trim }}',
      "{%- if m.content is not none %}{{ '<said>' + m.content }}{% endif %}",
    );
    const [question, calling, ...rest] = conversation as [ChatMessage, ChatMessage];
    const silent = [question, { ...calling, content: '' }, ...rest];
    expect(template(extra).render(silent, { tools })).not.toContain('<said>\n<tool_call>');
    expect(template(extra).render(conversation, { tools })).toContain('<said>Well.\n<tool_call>');
  });

  it('names calls as Kimi counts them, in results too', () => {
    const kimi =
      '{{ tools | tojson }}{% for m in messages %}{% for c in m.tool_calls or [] %}<|tool_call_begin|>functions.{{ c.function.name }}:{{ loop.index0 }}' +
      '<|tool_call_argument_begin|>{{ c.function.arguments | tojson }}{% endfor %}' +
      "{% if m.role == 'tool' %}Return of {{ m.tool_call_id }}: {% endif %}{{ m.content }}\n{% endfor %}";
    expect(template(kimi).render(conversation, { tools })).toContain(
      '<|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"a": 1}Well.\nReturn of functions.add:0: 2',
    );
  });

  it('tells calls apart whose ids come again in a later message', () => {
    const kimi =
      '{{ tools | tojson }}{% for m in messages %}{% for c in m.tool_calls or [] %}<|tool_call_begin|>functions.{{ c.function.name }}:{{ loop.index0 }}' +
      '<|tool_call_argument_begin|>{{ c.function.arguments | tojson }}{% endfor %}' +
      "{% if m.role == 'tool' %}Return of {{ m.name }} {{ m.tool_call_id }}: {% endif %}{{ m.content }}\n{% endfor %}";
    const twice = ['add', 'note'].flatMap((name): ChatMessage[] => [
      { role: 'assistant', content: '', toolCalls: [{ id: 'call_0', name, arguments: '{}' }] },
      { role: 'tool', content: 'done', toolCallId: 'call_0' },
    ]);
    const text = template(kimi).render([{ role: 'user', content: 'Go.' }, ...twice], { tools });
    for (const name of ['add', 'note']) {
      expect(text).toContain(`<|tool_call_begin|>functions.${name}:0<|`);
      expect(text).toContain(`Return of ${name} functions.${name}:0: done`);
    }
  });
});
