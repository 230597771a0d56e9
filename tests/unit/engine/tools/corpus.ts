/** Answers of every family and what is in them. Markers of the vocabulary stand between ⟦ and ⟧. */
import type { ToolFormat } from '../../../../ts/engine/types.js';

export interface Sample {
  format: ToolFormat;
  answer: string;
  text?: string;
  reasoning?: string;
  calls?: [name: string, args: string][];
}

const tricky = String.raw`{"text": "</tool_call> <tool_call>{\"name\": \"add\"} \\\" } ] \u00e9 é 日本 😀 <|im_end|> [TOOL_CALLS] <think>", "n": [1, {"a": []}], "e": {}}`;

const hermesCall = (name: string, args: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`;

const special = (answer: string) => answer.replaceAll(/<\/?tool_call>(?=\n|$)/g, (tag) => `⟦${tag}⟧`);

const hermes: Omit<Sample, 'format'>[] = [
  {
    answer: 'Just text with <b>tags</b> and { braces }.',
    text: 'Just text with <b>tags</b> and { braces }.',
  },
  { answer: ' leading and trailing \n', text: ' leading and trailing \n' },
  { answer: hermesCall('add', '{"a": 1, "b": 2}'), calls: [['add', '{"a": 1, "b": 2}']] },
  { answer: hermesCall('note', tricky), calls: [['note', tricky]] },
  {
    answer: `Let me see.\n${hermesCall('add', '{}')}\n${hermesCall('note', tricky)}\nDone.`,
    text: 'Let me see.\n\nDone.',
    calls: [
      ['add', '{}'],
      ['note', tricky],
    ],
  },
  {
    answer: `<think>\nShould I call? <tool_call> maybe </tool_call>\n</think>\n\n${hermesCall('add', '{"a":{"b":{}}}')}`,
    reasoning: 'Should I call? <tool_call> maybe </tool_call>',
    calls: [['add', '{"a":{"b":{}}}']],
  },
  { answer: '<think>\n\n</think>\n\nHello', text: 'Hello' },
  { answer: '<think>hm</think>\n\n  Hello', reasoning: 'hm', text: 'Hello' },
  {
    answer: '<tool_call>{ "arguments": {"a": [1, 2]}, "name": "add"}\n</tool_call> ',
    calls: [['add', '{"a": [1, 2]}']],
  },
  { answer: '<tool_call>{"name":"add"}</tool_call>', calls: [['add', '{}']] },
  { answer: '<tool_call>{"name":"add","arguments":null}</tool_call>', calls: [['add', '{}']] },
  {
    answer: String.raw`<tool_call>{"name":"add","arguments":"{\"a\": \"<\\\"\"}"}</tool_call>`,
    calls: [['add', String.raw`{"a": "<\""}`]],
  },
  { answer: '<tool_call>{"name":"add","arguments":{"a":1}}}\n</tool_call>', calls: [['add', '{"a":1}']] },
  { answer: '<tool_call>{"name":"add","arguments":{"a":1}\n</tool_call>', calls: [['add', '{"a":1}']] },
  {
    answer: '<tool_call>{"name":"add","arguments":{"a":1}}\n{"name":"add","arguments":{"a":2}}</tool_call>',
    calls: [
      ['add', '{"a":1}'],
      ['add', '{"a":2}'],
    ],
  },
  {
    answer: '<tool_call>{"name":"add","arguments":{"a":1}}<tool_call>{"name":"add","arguments":{"a":2}}',
    calls: [
      ['add', '{"a":1}'],
      ['add', '{"a":2}'],
    ],
  },
  { answer: '<tool_call>not json</tool_call>', text: '<tool_call>not json</tool_call>' },
  { answer: '<tool_call>{"name": 7}</tool_call>!', text: '<tool_call>{"name": 7}</tool_call>!' },
  { answer: '<tool_call>{"name": "a b"}</tool_call>', text: '<tool_call>{"name": "a b"}</tool_call>' },
  { answer: '<tool_call>[1]</tool_call>', text: '<tool_call>[1]</tool_call>' },
  { answer: '<tool_call>{"x": 1}', text: '<tool_call>{"x": 1}' },
  { answer: 'a <tool_call', text: 'a <tool_call' },
  { answer: '<<tool_call>{"name":"add"}</tool_call>', text: '<', calls: [['add', '{}']] },
];

const bare = (name: string, args: string) => `{"name": "${name}", "parameters": ${args}}`;

const bareJson: Omit<Sample, 'format'>[] = [
  { answer: 'Text {"name": "add"} in a line.', text: 'Text {"name": "add"} in a line.' },
  { answer: bare('add', '{"a": 1}'), calls: [['add', '{"a": 1}']] },
  { answer: bare('note', tricky), calls: [['note', tricky]] },
  {
    answer: `I will.\n${bare('add', '{}')}; ${bare('note', tricky)}`,
    text: 'I will.\n',
    calls: [
      ['add', '{}'],
      ['note', tricky],
    ],
  },
  {
    answer: `${bare('add', '{"a": 1}')}\n${bare('add', '{"a": 2}')}`,
    calls: [
      ['add', '{"a": 1}'],
      ['add', '{"a": 2}'],
    ],
  },
  { answer: '{"type": "function", "name": "add", "parameters": {}}', calls: [['add', '{}']] },
  { answer: '{"parameters": {"a": 1}, "name": "add"}', calls: [['add', '{"a": 1}']] },
  { answer: bare('unknown', '{"a": 1}'), text: bare('unknown', '{"a": 1}') },
  { answer: '{"city": "Paris", "name": "add"}', text: '{"city": "Paris", "name": "add"}' },
  { answer: '{"name": "add", ', text: '', calls: [['add', '']] },
  { answer: '{"na', text: '{"na' },
  { answer: '{}', text: '{}' },
  {
    answer: `<think>{"name": "add"}</think>${bare('add', '{"x":"}"}')}`,
    reasoning: '{"name": "add"}',
    calls: [['add', '{"x":"}"}']],
  },
];

const coder = (name: string, args: Record<string, string>) =>
  `<tool_call>\n<function=${name}>\n${Object.entries(args)
    .map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`)
    .join('')}</function>\n</tool_call>`;

/** Text that holds all that ends a value, but not in the order that ends it. */
const trickyText =
  'a "b" \\n </parameter> <tool_call> {"x": 1} \t é 😀\n\n</arg_value>x</parameter>\n <|im_end|> </function> \n </tool_call>\n';

const qwenCoder: Omit<Sample, 'format'>[] = [
  { answer: 'Just text with <b>tags</b>.', text: 'Just text with <b>tags</b>.' },
  { answer: coder('add', { a: '1' }), calls: [['add', '{"a": 1}']] },
  { answer: coder('add', {}), calls: [['add', '{}']] },
  { answer: coder('add', { a: '1.50', b: 'None' }), calls: [['add', '{"a": 1.50, "b": null}']] },
  { answer: coder('note', { text: '1' }), calls: [['note', '{"text": "1"}']] },
  { answer: coder('note', { text: '' }), calls: [['note', '{"text": ""}']] },
  {
    answer: coder('note', { text: trickyText }),
    calls: [['note', `{"text": ${JSON.stringify(trickyText)}}`]],
  },
  {
    answer: coder('note', { list: '[1, {"a": "</parameter>"}]', other: 'True', more: 'some words' }),
    calls: [['note', '{"list": [1, {"a": "</parameter>"}], "other": true, "more": "some words"}']],
  },
  {
    answer: coder('note', { list: 'none', '"q"': '"x"' }),
    calls: [['note', '{"list": "none", "\\"q\\"": "\\"x\\""}']],
  },
  {
    answer: `Let me see.\n${coder('add', { a: '1' })}\n${coder('note', { text: 'x\ny' })}\nDone.`,
    text: 'Let me see.\n\nDone.',
    calls: [
      ['add', '{"a": 1}'],
      ['note', '{"text": "x\\ny"}'],
    ],
  },
  {
    answer: `<think>\n<tool_call>?\n</think>\n\n${coder('add', { a: '{"b": [1]}' })}`,
    reasoning: '<tool_call>?',
    calls: [['add', '{"a": {"b": [1]}}']],
  },
  {
    answer:
      '<tool_call><function=note><parameter=text>in a line</parameter><parameter=more>2</parameter></function></tool_call>',
    calls: [['note', '{"text": "in a line", "more": 2}']],
  },
  {
    answer: 'Well.\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>',
    text: 'Well.\n',
    calls: [['add', '{"a": 1}']],
  },
  {
    answer:
      '<tool_call>\n<function=add>\n</function>\n<function=add>\n<parameter=a>\n2\n</parameter>\n</function>\n</tool_call>',
    calls: [
      ['add', '{}'],
      ['add', '{"a": 2}'],
    ],
  },
  { answer: '<tool_call><function=add><parameter=a>2</parameter>', calls: [['add', '{"a": 2}']] },
  { answer: '<tool_call><function=note><parameter=text>half', calls: [['note', '{"text": "half']] },
  { answer: 'Write <function=other> or <parameter=x>.', text: 'Write <function=other> or <parameter=x>.' },
  { answer: '<tool_call>{"name": "add"}</tool_call>', text: '<tool_call>{"name": "add"}</tool_call>' },
  { answer: '<tool_call>\n<function=a b>', text: '<tool_call>\n<function=a b>' },
];

const glmCall = (name: string, args: Record<string, string>, gap = '\n') =>
  `<tool_call>${name}${gap}${Object.entries(args)
    .map(([key, value]) => `<arg_key>${key}</arg_key>${gap}<arg_value>${value}</arg_value>${gap}`)
    .join('')}</tool_call>`;

const glm: Omit<Sample, 'format'>[] = [
  { answer: 'Text <arg_key>', text: 'Text <arg_key>' },
  { answer: glmCall('add', { a: '1', b: 'null' }), calls: [['add', '{"a": 1, "b": null}']] },
  { answer: glmCall('add', { a: '1' }, ''), calls: [['add', '{"a": 1}']] },
  { answer: glmCall('add', {}), calls: [['add', '{}']] },
  {
    answer: glmCall('note', { text: `\n${trickyText}` }),
    calls: [['note', `{"text": ${JSON.stringify(`\n${trickyText}`)}}`]],
  },
  {
    answer: `Both:\n${glmCall('add', {}, '')}${glmCall('note', { list: '[]' })}`,
    text: 'Both:\n',
    calls: [
      ['add', '{}'],
      ['note', '{"list": []}'],
    ],
  },
  { answer: '<tool_call>two words</tool_call>', text: '<tool_call>two words</tool_call>' },
];

const mark = (text: string) => text.replaceAll(/<[|｜][^<>]*>/g, (tag) => `⟦${tag}⟧`);
const section = (...calls: string[]) => mark(`<｜tool▁calls▁begin｜>${calls.join('')}<｜tool▁calls▁end｜>`);
const deep = (name: string, args: string) =>
  `<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>${args}<｜tool▁call▁end｜>`;
const fenced = (name: string, args: string) => deep('function', `${name}\n\`\`\`json\n${args}\n\`\`\``);
const markText = tricky.replaceAll(/<\|im_end\|>/g, '⟦<|im_end|>⟧ ⟦<｜tool▁call▁end｜>⟧');
const markPlain = markText.replaceAll(/[⟦⟧]/g, '');

const deepseek: Omit<Sample, 'format'>[] = [
  { answer: 'Text <｜tool▁calls▁begin｜> as text', text: 'Text <｜tool▁calls▁begin｜> as text' },
  { answer: section(deep('add', '{"a": 1}')), calls: [['add', '{"a": 1}']] },
  { answer: section(deep('add', '')), calls: [['add', '{}']] },
  { answer: section(deep('note', 'X')).replace('X', markText), calls: [['note', markPlain]] },
  {
    answer: `So.${section(deep('add', '{}'), deep('note', '{"text": "x"}'))}`,
    text: 'So.',
    calls: [
      ['add', '{}'],
      ['note', '{"text": "x"}'],
    ],
  },
  {
    answer: section(fenced('add', '{"a": 1}'), '\n', fenced('note', '{"text": "```"}')),
    calls: [
      ['add', '{"a": 1}'],
      ['note', '{"text": "```"}'],
    ],
  },
  { answer: `${mark(deep('add', '{}'))} Done`, text: 'Done', calls: [['add', '{}']] },
  { answer: '⟦<｜tool▁calls▁begin｜>⟧nothing', text: '<｜tool▁calls▁begin｜>nothing' },
];

const kimiCall = (name: string, index: number, args: string) =>
  `<|tool_call_begin|>functions.${name}:${index}<|tool_call_argument_begin|>${args}<|tool_call_end|>`;
const kimiSection = (...calls: string[]) =>
  mark(`<|tool_calls_section_begin|>${calls.join('')}<|tool_calls_section_end|>`);

const kimi: Omit<Sample, 'format'>[] = [
  {
    answer: `I look.${kimiSection(kimiCall('add', 0, '{"a": 1}'), kimiCall('note', 1, '{"text": "x"}'))}`,
    text: 'I look.',
    calls: [
      ['add', '{"a": 1}'],
      ['note', '{"text": "x"}'],
    ],
  },
  { answer: kimiSection(kimiCall('note', 12, 'X')).replace('X', markText), calls: [['note', markPlain]] },
];

export const corpus: Sample[] = [
  ...hermes.map((sample) => ({ format: 'hermes' as const, ...sample })),
  ...bareJson.map((sample) => ({ format: 'llama' as const, ...sample })),
  {
    format: 'llama',
    answer: `⟦<|python_tag|>⟧${bare('add', '{"a": "⟦<|eom_id|>⟧"}')}`,
    calls: [['add', '{"a": "<|eom_id|>"}']],
  },
  { format: 'llama', answer: '⟦<|python_tag|>⟧print(1)', text: '<|python_tag|>print(1)' },
  ...bareJson.map((sample) => ({ format: 'gemma' as const, ...sample })),
  ...['json', 'tool_code', 'tool_call'].map((name) => ({
    format: 'gemma' as const,
    answer: `Sure:\n\`\`\`${name}\n${bare('note', tricky)}\n\`\`\`\nDone`,
    text: 'Sure:\n\n\nDone',
    calls: [['note', tricky]] as [string, string][],
  })),
  {
    format: 'gemma',
    answer: `\`\`\`json\n[${bare('add', '{"a": 1}')},\n ${bare('add', '{}')}]\n\`\`\``,
    calls: [
      ['add', '{"a": 1}'],
      ['add', '{}'],
    ],
  },
  {
    format: 'gemma',
    answer: '```json\n{"a": 1}\n```\nis JSON, ```js is not',
    text: '```json\n{"a": 1}\n```\nis JSON, ```js is not',
  },
  { format: 'mistral', answer: 'Text [TOOL_CALLS] as text', text: 'Text [TOOL_CALLS] as text' },
  {
    format: 'mistral',
    answer: `⟦[TOOL_CALLS]⟧ [{"name": "add", "arguments": {"a": 1}, "id": "abc123xyz"}, {"name": "note", "arguments": ${tricky}}]`,
    calls: [
      ['add', '{"a": 1}'],
      ['note', tricky],
    ],
  },
  {
    format: 'mistral',
    answer: `Wait.⟦[TOOL_CALLS]⟧add⟦[ARGS]⟧{"a": "⟦[ARGS]⟧"}⟦[TOOL_CALLS]⟧note⟦[CALL_ID]⟧123456789⟦[ARGS]⟧${tricky}`,
    text: 'Wait.',
    calls: [
      ['add', '{"a": "[ARGS]"}'],
      ['note', tricky],
    ],
  },
  { format: 'mistral', answer: '⟦[TOOL_CALLS]⟧{"name": "add", "arguments": {}}', calls: [['add', '{}']] },
  { format: 'mistral', answer: '⟦[TOOL_CALLS]⟧ nothing here', text: '[TOOL_CALLS] nothing here' },
  {
    format: 'harmony',
    answer:
      '⟦<|channel|>⟧analysis⟦<|message|>⟧Think <|end|> hard.⟦<|end|>⟧⟦<|start|>⟧assistant⟦<|channel|>⟧final⟦<|message|>⟧Hello there',
    reasoning: 'Think <|end|> hard.',
    text: 'Hello there',
  },
  {
    format: 'harmony',
    answer: `⟦<|channel|>⟧analysis⟦<|message|>⟧Hm.⟦<|end|>⟧⟦<|start|>⟧assistant⟦<|channel|>⟧commentary⟦<|message|>⟧I will look.⟦<|end|>⟧⟦<|start|>⟧assistant⟦<|channel|>⟧commentary to=functions.note ⟦<|constrain|>⟧json⟦<|message|>⟧${tricky}`,
    reasoning: 'Hm.',
    text: 'I will look.',
    calls: [['note', tricky]],
  },
  {
    format: 'harmony',
    answer: ' to=functions.add⟦<|channel|>⟧commentary json⟦<|message|>⟧{"a": "⟦<|end|>⟧"}',
    calls: [['add', '{"a": "<|end|>"}']],
  },
  { format: 'harmony', answer: 'Plain text', text: 'Plain text' },
  ...qwenCoder.map((sample) => ({ format: 'qwen-coder' as const, ...sample })),
  ...glm.map((sample) => ({ format: 'glm' as const, ...sample })),
  ...deepseek.map((sample) => ({ format: 'deepseek' as const, ...sample })),
  ...kimi.map((sample) => ({ format: 'kimi' as const, ...sample })),
];

/** The same with the tags of Hermes as tokens of the vocabulary. */
export const tokenCorpus: Sample[] = hermes
  .filter(({ answer }) => answer.includes('<tool_call>\n') && !answer.includes('<think>'))
  .map((sample) => ({ format: 'hermes', ...sample, answer: special(sample.answer) }));
