import { beforeAll, describe, expect, it } from 'vitest';
import { checkChatOptions } from '../../../ts/engine/chat-options.js';
import type { ChatTemplate } from '../../../ts/engine/text/chat-template.js';
import { answerGrammar } from '../../../ts/engine/text/tools/answer-grammar.js';
import { type AnswerForm, AnswerParser, plainForm } from '../../../ts/engine/text/tools/parser.js';
import type { ChatMessage, ToolCall, ToolFormat } from '../../../ts/engine/types.js';
import { accepts } from '../../unit/engine/grammar/acceptor.js';
import { Vocabulary } from '../../unit/engine/tools/vocabulary.js';
import { bringTemplates, realTemplate, templateNames } from './real-templates.js';

/** Templates that show tools and calls themselves, by the family they are of. */
const shown: Partial<Record<ToolFormat, readonly string[]>> = {
  hermes: [
    'Bielik-11B-v3.0-Instruct',
    'MiMo-VL',
    'NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use',
    'NousResearch-Hermes-3-Llama-3.1-8B-tool_use',
    'Qwen-QwQ-32B',
    'Qwen-Qwen2.5-7B-Instruct',
    'Qwen-Qwen3-0.6B',
    'Reka-Edge',
    'ibm-granite-granite-4.0',
    'ibm-granite-granite-4.1',
  ],
  'qwen-coder': ['NVIDIA-Nemotron-3-Nano-30B-A3B-BF16', 'Qwen3-Coder', 'Qwen3.5-4B', 'StepFun3.5-Flash'],
  glm: [
    'GLM-4.6',
    'GLM-4.7-Flash',
    'Spark2.5',
    'inclusionai-ling-3.0-flash',
    'poolside-Laguna-S-2.1',
    'poolside-Laguna-XS-2.1',
    'poolside-Laguna-XS.2',
  ],
  mistral: [
    'Mistral-Small-3.2-24B-Instruct-2506',
    'mistralai-Ministral-3-14B-Reasoning-2512',
    'mistralai-Mistral-Nemo-Instruct-2407',
    'unsloth-mistral-Devstral-Small-2507',
  ],
  llama: [
    'meta-llama-Llama-3.1-8B-Instruct',
    'meta-llama-Llama-3.2-3B-Instruct',
    'meta-llama-Llama-3.3-70B-Instruct',
  ],
  harmony: ['openai-gpt-oss-120b'],
  'deepseek-r1': ['llama-cpp-deepseek-r1'],
  kimi: ['moonshotai-Kimi-K2'],
};

/** Templates that show calls but no tools: these are told in the system prompt. */
const told: Partial<Record<ToolFormat, readonly string[]>> = {
  deepseek: ['deepseek-ai-DeepSeek-V3.1'],
  'deepseek-r1': ['deepseek-ai-DeepSeek-R1-Distill-Llama-8B', 'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B'],
};

/** Templates of a form that is not read, or of none: all of tools stands in the text of the messages. */
const inText: Partial<Record<ToolFormat, readonly string[]>> = {
  gemma: ['google-gemma-2-2b-it'],
  hermes: [
    'Apertus-8B-Instruct',
    'Apriel-1.6-15b-Thinker-fixed',
    'Cohere2MoE',
    'CohereForAI-c4ai-command-r-plus-tool_use',
    'CohereForAI-c4ai-command-r7b-12-2024-tool_use',
    'GigaChat3-10B-A1.8B',
    'GigaChat3.1-10B-A1.8B',
    'HuggingFaceTB-SmolLM3-3B',
    'Kimi-K2-Instruct',
    'Kimi-K2-Thinking',
    'Kimi-K3',
    'LFM2-8B-A1B',
    'LFM2.5-8B-A1B',
    'LFM2.5-Instruct',
    'MiniMax-M1',
    'MiniMax-M2',
    'MiniMax-M3',
    'NVIDIA-Nemotron-Nano-v2',
    'deepseek-ai-DeepSeek-V3.2',
    'deepseek-ai-DeepSeek-V4',
    'deepseek-ai-DeepSeek-V4-Flash-0731',
    'google-gemma-4-31B-it',
    'google-gemma-4-31B-it-interleaved',
    'ibm-granite-granite-3.3-2B-Instruct',
    'llama-cpp-rwkv-world',
    'meetkai-functionary-medium-v3.1',
    'meetkai-functionary-medium-v3.2',
    'microsoft-Phi-3.5-mini-instruct',
    'muse-glimmer',
    'openbmb-MiniCPM5-1B',
    'unsloth-Apriel-1.5',
    'upstage-Solar-Open-100B',
  ],
};

/** Templates that want what this renderer does not have, or what no caller gives. */
const refusing = ['ByteDance-Seed-OSS', 'fireworks-ai-llama-3-firefunction-v2', 'tencent-Hy3'];

const rows = (table: typeof shown) =>
  Object.entries(table).flatMap(([format, names]) =>
    names.map((name): [string, ToolFormat] => [name, format as ToolFormat]),
  );
const served = [...rows(shown), ...rows(told), ...rows(inText)];

const parameters = {
  type: 'object',
  properties: {
    path: { type: 'string', description: 'Which file.' },
    count: { type: 'integer' },
    tags: { type: 'array', items: { type: 'string' } },
  },
  required: ['path'],
};
const tools = [
  { name: 'read_file', description: 'Reads a file from disk.', parameters, strict: true },
  { name: 'list_files', parameters, strict: true },
];

const argument = { path: 'a "b"\\n\nü 😀 </x>', count: 12, tags: ['</y>', 'z'] };
const call = (index: number, name: string, args: unknown): ToolCall => ({
  id: `call_00000000000000000000000${index}`,
  name,
  arguments: JSON.stringify(args),
});
const first = call(1, 'read_file', argument);
const second = call(2, 'list_files', { path: 'src' });
const result = ({ id }: ToolCall, content: string): ChatMessage => ({
  role: 'tool',
  content,
  toolCallId: id,
});
const system: ChatMessage = { role: 'system', content: 'Answer in one line.' };
const question: ChatMessage = { role: 'user', content: 'What is in that file?' };
const calling = (...toolCalls: ToolCall[]): ChatMessage => ({ role: 'assistant', content: '', toolCalls });
const called = [question, calling(first), result(first, 'It has 12 lines.')];
const followUp: ChatMessage[] = [
  { role: 'assistant', content: 'Twelve lines.' },
  { role: 'user', content: 'And now?' },
];

const markers = /(<[|｜][^<>\s]*[|｜]>|\[\/?[A-Z_]{2,}\]|<\/?s>)/;
const harmonyTokens = (marker: string) => /^<\|/.test(marker);

function formOf(template: ChatTemplate): AnswerForm {
  const { traits } = template;
  const isToken = (marker: string) => markers.test(marker);
  return {
    ...plainForm,
    calls: traits.toolFormat,
    harmony: traits.harmony,
    names: new Set(tools.map(({ name }) => name)),
    parameters: new Map(tools.map((tool) => [tool.name, tool.parameters])),
    isToken: traits.harmony ? harmonyTokens : isToken,
  };
}

/** The calls in what stands behind the question. */
function callsIn(text: string, form: AnswerForm): { name: string; arguments: unknown }[] {
  const parser = new AnswerParser(form);
  const answer = text.slice(text.lastIndexOf(String(question.content)) + String(question.content).length);
  const events = answer
    .split(markers)
    .filter((part) => part !== '')
    .flatMap((part) => (markers.test(part) ? parser.marker(part, true) : parser.text(part)));
  const calls: { name: string; arguments: string }[] = [];
  for (const event of [...events, ...parser.end('stop')]) {
    if (event.type === 'call') calls.push({ name: event.name, arguments: '' });
    const last = calls.at(-1);
    if (event.type === 'arguments' && last) last.arguments += event.text;
  }
  return calls.map((one) => ({ name: one.name, arguments: JSON.parse(one.arguments) as unknown }));
}

beforeAll(bringTemplates, 600_000);

it('every template is known here', () => {
  expect([...served.map(([name]) => name), ...refusing].sort()).toEqual(templateNames());
});

describe.each(served)('the template %s', (name, format) => {
  const template = () => realTemplate(name);
  const showsAll = (text: string, ...words: string[]) => {
    for (const word of words) expect(text).toContain(word);
  };

  it('is of its family', () => {
    expect(template().traits).toMatchObject({
      toolFormat: format,
      showsTools: shown[format]?.includes(name) ?? false,
    });
  });

  it('shows what the system says and every tool, with and without a system message', () => {
    const names = tools.map((tool) => tool.name);
    const described = [
      'Reads a file from disk.',
      'path',
      'Which file.',
      'count',
      'tags',
      String(question.content),
    ];
    showsAll(template().render([question], { tools }), ...names, ...described);
    showsAll(
      template().render([system, question], { tools }),
      String(system.content),
      ...names,
      ...described,
    );
    showsAll(template().render([system, question]), String(system.content), String(question.content));
  });

  it('shows calls and results, several at once where it can', () => {
    const text = template().render([system, ...called, ...followUp], { tools });
    showsAll(text, 'read_file', '12', 'It has 12 lines.', 'Twelve lines.', 'And now?');
    const both = [question, calling(first, second), result(first, 'R1'), result(second, 'R2')];
    showsAll(template().render(both, { tools }), 'src', 'R1', 'R2');
  });

  it('takes thoughts and words beside a call', () => {
    const thinking = { ...calling(first), reasoning: 'Let me think.', content: 'I look.' };
    const text = template().render([question, thinking, result(first, 'R1')], { tools });
    showsAll(text, 'read_file', 'R1');
  });

  it('writes calls that are read as they were', () => {
    const form = formOf(template());
    const expected = [{ name: 'read_file', arguments: argument }];
    expect(callsIn(template().render(called, { tools }), form)).toEqual(expected);
    if (!template().traits.parallelCalls) return;
    const both = [question, calling(first, second), result(first, 'R1'), result(second, 'R2')];
    expect(callsIn(template().render(both, { tools }), form)).toEqual([
      ...expected,
      { name: 'list_files', arguments: { path: 'src' } },
    ]);
  });

  it('goes on from what it wrote before', () => {
    const before = template().render([system, ...called], { tools, addGenerationPrompt: false });
    const after = template().render([system, ...called, ...followUp], { tools });
    expect(after.startsWith(before)).toBe(!Object.hasOwn(rewriting, name));
  });
});

/** Templates that write the past in another way once there is more of it, and what of it. */
const rewriting: Readonly<Record<string, string>> = {
  'Bielik-11B-v3.0-Instruct': 'the end of the last result',
  'CohereForAI-c4ai-command-r-plus-tool_use': 'instructions behind the last message',
  'CohereForAI-c4ai-command-r7b-12-2024-tool_use': 'empty thoughts at the end',
  'Mistral-Small-3.2-24B-Instruct-2506': 'tools before the last question',
  'NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use': 'the end of the last result',
  'NousResearch-Hermes-3-Llama-3.1-8B-tool_use': 'the end of the last result',
  'Qwen3.5-4B': 'thoughts before the last question',
  'StepFun3.5-Flash': 'thoughts before the last question',
  'microsoft-Phi-3.5-mini-instruct': 'the end of the text',
  'mistralai-Mistral-Nemo-Instruct-2407': 'tools before the last question',
};

/** Calls as the models write them. */
const spellings: [
  family: string,
  format: ToolFormat,
  tokens: readonly string[],
  write: (calls: ToolCall[]) => string,
][] = [
  [
    'hermes',
    'hermes',
    [],
    (calls) => calls.map((one) => `<tool_call>\n${named(one)}\n</tool_call>`).join('\n'),
  ],
  [
    'mistral with lists',
    'mistral',
    [],
    (calls) => `[TOOL_CALLS] [${calls.map((one) => named(one)).join(', ')}]`,
  ],
  [
    'mistral with lists and ids',
    'mistral',
    [],
    (calls) =>
      `[TOOL_CALLS][${calls.map((one) => `${named(one).slice(0, -1)}, "id": "a1B2c3D4e"}`).join(', ')}]`,
  ],
  [
    'mistral with marks',
    'mistral',
    ['[TOOL_CALLS]', '[ARGS]'],
    (calls) => calls.map((one) => `[TOOL_CALLS]${one.name}[ARGS]${spaced(one)}`).join(''),
  ],
  ['llama', 'llama', [], ([one]) => (one ? named(one, 'parameters') : '')],
  [
    'harmony',
    'harmony',
    [],
    ([one]) =>
      `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.${one?.name} ` +
      `<|constrain|>json<|message|>${one?.arguments}`,
  ],
  [
    'deepseek',
    'deepseek',
    [],
    (calls) =>
      `<｜tool▁calls▁begin｜>${calls
        .map((one) => `<｜tool▁call▁begin｜>${one.name}<｜tool▁sep｜>${one.arguments}<｜tool▁call▁end｜>`)
        .join('')}<｜tool▁calls▁end｜>`,
  ],
  [
    'kimi',
    'kimi',
    [],
    (calls) =>
      `<|tool_calls_section_begin|>${calls
        .map(
          (one, i) =>
            `<|tool_call_begin|>functions.${one.name}:${i}<|tool_call_argument_begin|>${one.arguments}<|tool_call_end|>`,
        )
        .join('')}<|tool_calls_section_end|>`,
  ],
];

const spaced = ({ arguments: args }: ToolCall) =>
  JSON.stringify(JSON.parse(args), null, 1).replaceAll(/\n */g, ' ');
const named = (one: ToolCall, key = 'arguments') => `{"name": "${one.name}", "${key}": ${spaced(one)}}`;

function forced(format: ToolFormat, tokens: readonly string[], parallel = true) {
  const vocabulary = new Vocabulary(tokens, true);
  const isToken = (marker: string) => vocabulary.hasAdded(marker);
  const form = { ...plainForm, calls: format, harmony: format === 'harmony', parallel, isToken };
  const options = checkChatOptions({ tools, toolChoice: 'required' });
  return vocabulary.spelled(answerGrammar({ ...options, form }, vocabulary), '', '');
}

it.each(spellings)(
  'a form that forces calls takes them as %s writes them',
  (_family, format, tokens, write) => {
    const parallel = format !== 'llama' && format !== 'harmony';
    const grammar = forced(format, tokens, parallel);
    expect(accepts(grammar, write([first]))).toBe(true);
    expect(accepts(grammar, write([{ ...first, arguments: '{"count":1}' }]))).toBe(false);
    if (parallel) expect(accepts(grammar, write([first, second]))).toBe(true);
  },
);

/** What stands around the calls of a message, by the format they are in. */
const around: Partial<Record<ToolFormat, RegExp>> = {
  hermes: /<tool_call>.*<\/tool_call>/s,
  'qwen-coder': /<tool_call>.*<\/tool_call>/s,
  glm: /<tool_call>.*<\/tool_call>/s,
  llama: /\{"name".*\}(?=<\|eot_id\|>)/s,
  deepseek: /<｜tool▁calls▁begin｜>.*<｜tool▁calls▁end｜>/s,
  'deepseek-r1': /<｜tool▁calls▁begin｜>.*<｜tool▁calls▁end｜>/s,
  kimi: /<\|tool_calls_section_begin\|>.*<\|tool_calls_section_end\|>/s,
};

/** Of a single call it leaves the end out. */
const endless = 'deepseek-ai-DeepSeek-R1-Distill-Llama-8B';
const writing = [...rows(shown), ...rows(told)].filter(
  ([name, format]) => around[format] && name !== endless,
);

describe.each(writing)('a call as the template %s writes it', (name, format) => {
  it('is one that a form takes', () => {
    const text = realTemplate(name).render(called, { tools });
    const answer = text.slice(text.lastIndexOf(String(question.content)));
    const written = around[format]?.exec(answer)?.[0] ?? '';
    expect(accepts(forced(format, []), written), written).toBe(true);
  });
});

describe.each(refusing)('the template %s', (name) => {
  it('refuses with a reason', () => {
    expect(() => realTemplate(name).render([question], { tools })).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: expect.stringMatching(/template refuses .*: \w+/),
      }),
    );
  });
});
