import { describe, expect, it } from 'vitest';
import type {
  ChatMessage,
  ChatOptions,
  GenerationChunk,
  ToolDefinition,
} from '../../../../ts/engine/types.js';
import { type Rig, rig } from '../fake-core.js';
import * as templates from './templates.js';

const tools: ToolDefinition[] = [
  { name: 'add', parameters: { type: 'object', properties: { a: {} } } },
  { name: 'note' },
];

const question: ChatMessage = { role: 'user', content: 'Do it.' };

function chat(r: Rig, messages: string | readonly ChatMessage[], options: ChatOptions = {}) {
  return r.turns.chat('ann', messages, options, new Error());
}

/** Answers with this text, its characters spelled one by one, which is not how it would be encoded. */
function spells(r: Rig, text: string): void {
  const markers = /(<\|?\/?[a-z_]+\|?>|\[[A-Z_]+\])/;
  const tokens = text
    .split(markers)
    .flatMap((part) =>
      r.tokenizer.hasAdded(part)
        ? r.tokenizer.encode(part)
        : [...Buffer.from(part)].map((byte) => r.tokenizer.encode(String.fromCharCode(byte))[0] ?? 0),
    );
  r.core.answer = () => [...tokens];
}

const promptAt = (r: Rig, index: number) => [...(r.core.requests.at(index)?.prompt ?? [])];
const answerOf = (r: Rig) => r.core.answer(r.core.requests[0] as never);

describe('a turn with tools', () => {
  it('streams calls as they come and says so in its result', async () => {
    const r = await rig({ template: templates.qwen, markers: templates.qwenMarkers });
    r.says(
      '<think>\nHm.\n</think>\n\nLet me.\n<tool_call>\n{"name": "add", "arguments": {"a": "</tool_call>"}}\n</tool_call>',
    );
    const generation = chat(r, [question], { tools });
    const chunks: GenerationChunk[] = [];
    const reading = (async () => {
      for await (const chunk of generation) chunks.push(chunk);
    })();
    await r.settle(reading);
    const result = await generation.result;
    expect(result).toMatchObject({
      text: 'Let me.\n',
      reasoning: 'Hm.',
      finishReason: 'tool_calls',
      toolCalls: [
        { id: expect.stringMatching(/^call_[0-9a-f]{24}$/), name: 'add', arguments: '{"a": "</tool_call>"}' },
      ],
    });
    expect(chunks.filter((chunk) => chunk.type === 'tool_call').length).toBeGreaterThan(5);
    expect(chunks.find((chunk) => chunk.type === 'tool_call')).toMatchObject({
      index: 0,
      id: result.toolCalls[0]?.id,
      name: 'add',
    });
    const transcript = (await r.conversations.read('ann')).view();
    expect(transcript.messages.at(-1)).toMatchObject({
      role: 'assistant',
      content: 'Let me.\n',
      reasoning: 'Hm.',
    });
  });

  it('can be read late: pieces of one kind are joined', async () => {
    const r = await rig({ template: templates.chatml, markers: templates.chatmlMarkers });
    r.says(
      'Yes.<tool_call>{"name": "note", "arguments": {}}</tool_call><tool_call>{"name": "add"}</tool_call>',
    );
    const generation = chat(r, [question], { tools });
    await r.settle(generation.result);
    const kinds: string[] = [];
    for await (const chunk of generation) kinds.push(chunk.type);
    expect(kinds).toEqual(['text', 'tool_call', 'tool_call']);
  });

  it('is text when no calls are to be made, though the tools are shown', async () => {
    const r = await rig({ template: templates.chatml, markers: templates.chatmlMarkers });
    r.says('<tool_call>{"name": "note"}</tool_call>');
    const result = await r.settle(chat(r, [question], { tools, toolChoice: 'none' }).result);
    expect(result).toMatchObject({
      text: '<tool_call>{"name": "note"}</tool_call>',
      toolCalls: [],
      finishReason: 'stop',
    });
    expect(r.tokenizer.decode(promptAt(r, -1))).toContain('"name":"note"');
  });

  it.each(['parallelToolCalls', 'template'])(
    'ends with the first call when the %s wants one',
    async (why) => {
      const llama = why === 'template';
      const r = await rig(
        llama
          ? { template: templates.llama, markers: templates.llamaMarkers }
          : { template: templates.chatml, markers: templates.chatmlMarkers },
      );
      const call = llama ? '{"name": "add", "parameters": {}}' : '<tool_call>{"name": "add"}</tool_call>';
      r.says(`${call}\n${call}`);
      const options = llama ? { tools } : { tools, parallelToolCalls: false };
      const result = await r.settle(chat(r, [question], options).result);
      expect(result).toMatchObject({
        toolCalls: [{ name: 'add', arguments: '{}' }],
        finishReason: 'tool_calls',
      });
      expect((await r.conversations.read('ann')).text).toContain(call);
      expect((await r.conversations.read('ann')).text).not.toContain(`${call}\n${call}`);
    },
  );

  it('gives the core what limits thoughts, and what ends a message', async () => {
    const r = await rig({ template: templates.harmony, markers: templates.harmonyMarkers });
    r.says('');
    await r.settle(chat(r, [question], { reasoning: { budgetTokens: 7 } }).result);
    expect(r.core.requests[0]).toMatchObject({
      reasoningBudget: 7,
      reasoningEnd: Int32Array.from(r.tokenizer.encode('<|end|>')),
      stopIds: Int32Array.from(['<|call|>', '<|return|>'].flatMap((marker) => r.tokenizer.encode(marker))),
    });
  });

  it.each([
    [{ tools: [{ name: 'a b' }] }, 'tools[0].name'],
    [{ tools: [{ name: 'a' }, { name: 'a' }] }, 'tools[1].name'],
    [{ tools: [{ name: 'a', parameters: [] }] }, 'tools[0].parameters'],
    [{ tools: [{ name: 'a', type: 'function' }] }, 'type'],
    [{ toolChoice: 'required' }, 'toolChoice'],
    [{ tools: [{ name: 'a' }], toolChoice: { name: 'b' } }, 'toolChoice.name'],
    [{ responseFormat: { type: 'xml' } }, 'responseFormat.type'],
    [{ responseFormat: { type: 'json_schema' } }, 'responseFormat.schema'],
    [{ reasoning: { budgetTokens: 0 } }, 'reasoning.budgetTokens'],
    [{ parallelToolCalls: 1 }, 'parallelToolCalls'],
  ])('refuses %j by the name of the field', async (options, field) => {
    const r = await rig();
    expect(() => chat(r, 'x', options as never)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ field }) }),
    );
  });
});

describe('a follow-up', () => {
  const call = '{"name": "add",  "arguments": {"b":[1,2], "a" : "\\u00e9abc"}}';

  const cases: [string, { template: string; markers: readonly string[] }, string][] = [
    [
      'qwen',
      { template: templates.qwen, markers: templates.qwenMarkers },
      `<think>\nHm abc.\n</think>\n\nLet me abc. <tool_call>\n${call}\n</tool_call>`,
    ],
    [
      'chatml',
      { template: templates.chatml, markers: templates.chatmlMarkers },
      `Let me abc.  <tool_call>\n${call}\n</tool_call>`,
    ],
    [
      'llama',
      { template: templates.llama, markers: templates.llamaMarkers },
      call.replace('arguments', 'parameters'),
    ],
    [
      'mistral',
      { template: templates.mistral, markers: templates.mistralMarkers },
      `[TOOL_CALLS] [${call}, ${call}]`,
    ],
    [
      'gemma',
      { template: templates.gemma, markers: templates.gemmaMarkers },
      call.replace('arguments', 'parameters'),
    ],
    [
      'harmony',
      { template: templates.harmony, markers: templates.harmonyMarkers },
      '<|channel|>analysis<|message|>Hm abc.<|end|><|start|>assistant<|channel|>commentary to=functions.add ' +
        '<|constrain|>json<|message|>{"b":[1,2], "a" : "\\u00e9abc"}',
    ],
  ];

  it.each(cases)(
    'of %s quotes calls as they were written, whatever the client makes of them',
    async (_n, setup, answer) => {
      const r = await rig(setup);
      spells(r, answer);
      const first = await r.settle(chat(r, [question], { tools }).result);
      expect(first.toolCalls.length).toBeGreaterThan(0);
      const before = [...promptAt(r, 0), ...answerOf(r)];
      // Thoughts are gone, space is trimmed, arguments are written anew.
      const respelled = first.toolCalls.map((one) => ({
        ...one,
        arguments: JSON.stringify({ a: 'éabc', b: [1, 2] }, null, 1),
      }));
      const results = first.toolCalls.map(
        (one): ChatMessage => ({ role: 'tool', content: '"3"', toolCallId: one.id }),
      );
      const whole: ChatMessage[] = [
        question,
        { role: 'assistant', content: first.text.trim(), toolCalls: respelled },
        ...results,
      ];
      spells(r, 'Done abc.');
      const second = await r.settle(chat(r, whole, { tools }).result);
      expect(promptAt(r, 1).slice(0, before.length)).toEqual(before);
      expect(second.usage.missReason).toBe('');
      expect(r.tokenizer.decode(promptAt(r, 1)).slice(r.tokenizer.decode(before).length)).toContain('3');

      // And once more, over the answer to the results.
      const again = [...promptAt(r, 1), ...answerOf(r)];
      const more: ChatMessage[] = [...whole, { role: 'tool', content: '4', toolCallId: 'x' }];
      const next: ChatMessage[] = [
        ...whole,
        { role: 'assistant', content: second.text.trim() },
        ...more.slice(-1),
      ];
      if (setup.template === templates.qwen || setup.template === templates.chatml) {
        await r.settle(chat(r, next, { tools }).result);
        expect(promptAt(r, 2).slice(0, again.length)).toEqual(again);
      }
    },
  );

  it('quotes a plain answer of which the client has trimmed the space', async () => {
    const r = await rig({ template: templates.chatml, markers: templates.chatmlMarkers });
    spells(r, '  abc abc \n');
    await r.settle(chat(r, [question]).result);
    const before = [...promptAt(r, 0), ...answerOf(r)];
    const whole: ChatMessage[] = [question, { role: 'assistant', content: 'abc abc' }, question];
    await r.settle(chat(r, whole).result);
    expect(promptAt(r, 1).slice(0, before.length)).toEqual(before);
  });

  it('that says another thing is taken as it is', async () => {
    const r = await rig({ template: templates.chatml, markers: templates.chatmlMarkers });
    spells(r, 'abc');
    await r.settle(chat(r, [question]).result);
    await r.settle(chat(r, [question, { role: 'assistant', content: 'bcd' }, question]).result);
    expect(r.tokenizer.decode(promptAt(r, 1))).toContain('assistant\nbcd<|im_end|>');
  });

  it.each([
    ['quotes a call of which the client has written out the defaults', false],
    ['takes a call as it is in which the client has another value than the default', true],
  ])('%s', async (_n, all) => {
    const r = await rig({ template: templates.qwen, markers: templates.qwenMarkers });
    const properties = { a: { type: 'string' }, all: { type: 'boolean', default: false } };
    const edit: ToolDefinition = { name: 'edit', parameters: { type: 'object', properties } };
    spells(r, '<tool_call>\n{"name": "edit", "arguments": {"a":  "abc"}}\n</tool_call>');
    const first = await r.settle(chat(r, [question], { tools: [edit] }).result);
    const before = [...promptAt(r, 0), ...answerOf(r)];
    const toolCalls = first.toolCalls.map((one) => ({
      ...one,
      arguments: JSON.stringify({ all, a: 'abc' }),
    }));
    const result: ChatMessage = { role: 'tool', content: 'ok', toolCallId: first.toolCalls[0]?.id ?? '' };
    const whole: ChatMessage[] = [question, { role: 'assistant', content: '', toolCalls }, result];
    await r.settle(chat(r, whole, { tools: [edit] }).result);
    const prompt = promptAt(r, 1);
    if (all) expect(r.tokenizer.decode(prompt)).toMatch(/"all": ?true/);
    else expect(prompt.slice(0, before.length)).toEqual(before);
  });

  it.each([
    ['an interrupted answer', [{ role: 'assistant', content: 'bc' }, question]],
    ['a question that was asked again', []],
  ] satisfies [string, ChatMessage[]][])(
    'quotes the answers before %s, also after a restart',
    async (_n, added) => {
      const setup = { template: templates.chatml, markers: templates.chatmlMarkers };
      const first = await rig(setup);
      spells(first, '  abc abc');
      await first.settle(chat(first, [question]).result);
      const before = [...promptAt(first, 0), ...answerOf(first)];
      const said: ChatMessage[] = [question, { role: 'assistant', content: 'abc abc' }, question];
      spells(first, 'bcd abc');
      await first.settle(chat(first, said).result);

      const restarted = await rig(setup);
      for (const [agent, transcript] of first.core.saved) restarted.core.saved.set(agent, transcript);
      for (const r of [first, restarted]) {
        await r.settle(chat(r, [...said, ...added]).result);
        const prompt = promptAt(r, -1);
        expect(prompt.slice(0, before.length)).toEqual(before);
        expect(r.tokenizer.decode(prompt)).not.toContain('bcd');
        // What was quoted once is quoted again.
        await r.settle(chat(r, [...said, ...added]).result);
        expect(promptAt(r, -1)).toEqual(prompt);
      }
    },
  );

  it('follows a template that leaves out earlier thoughts, and says so', async () => {
    const r = await rig({ template: templates.qwen, markers: templates.qwenMarkers });
    r.says('<think>\nHm.\n</think>\n\nYes.');
    const first = await r.settle(chat(r, [question]).result);
    const second = await r.settle(
      chat(r, [question, { role: 'assistant', content: first.text }, question]).result,
    );
    expect(second.usage.missReason).toContain('the chat template leaves out earlier thoughts');
    expect(r.tokenizer.decode(promptAt(r, 1))).not.toContain('Hm.');
  });

  it('follows a template that opens thoughts in the prompt and not in the past', async () => {
    const r = await rig({ template: templates.opening, markers: templates.qwenMarkers });
    r.says('Hm.\n</think>\n\nYes.');
    const first = await r.settle(chat(r, 'one').result);
    expect(first).toMatchObject({ reasoning: 'Hm.', text: 'Yes.' });
    const second = await r.settle(chat(r, 'two').result);
    expect(second.usage.missReason).toContain('leaves out earlier thoughts');
    expect(r.tokenizer.decode(promptAt(r, 1))).toBe(
      '<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n' +
        '<|im_start|>assistant\n<think>\n',
    );
  });

  it('still quotes after a restart', async () => {
    const setup = { template: templates.chatml, markers: templates.chatmlMarkers };
    let r = await rig(setup);
    spells(r, ` abc <tool_call>\n${call}\n</tool_call>`);
    await r.settle(chat(r, [question], { tools }).result);
    const before = [...promptAt(r, 0), ...answerOf(r)];
    const kept = new Map(r.core.saved);
    r = await rig(setup);
    for (const [agent, transcript] of kept) r.core.saved.set(agent, transcript);
    await r.settle(chat(r, 'And?', { tools }).result);
    expect(promptAt(r, 0).slice(0, before.length)).toEqual(before);
  });
});

describe('counting', () => {
  it('tells the tokens of the prompt that chat computes, a quoted answer included', async () => {
    const r = await rig({ template: templates.qwen, markers: templates.qwenMarkers });
    spells(r, 'abc abc');
    const options = { tools, reasoning: { enabled: false } };
    const asked = await r.turns.count([question], options);
    await r.settle(chat(r, [question], options).result);
    expect(asked).toBe(promptAt(r, 0).length);
    const whole: ChatMessage[] = [question, { role: 'assistant', content: 'abc abc' }, question];
    const own = await r.turns.count(whole, { tools, agentId: 'ann' });
    const other = await r.turns.count(whole, { tools });
    await r.settle(chat(r, whole, { tools }).result);
    expect(own).toBe(promptAt(r, 1).length);
    expect(other).toBeLessThanOrEqual(own);
  });

  it('refuses what chat refuses', async () => {
    const r = await rig();
    await expect(r.turns.count([], {})).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    await expect(r.turns.count('x', { temperature: 1 } as never)).rejects.toMatchObject({
      code: 'UNSUPPORTED_FIELD',
    });
  });
});
