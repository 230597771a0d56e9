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
];

/** The same with the tags of Hermes as tokens of the vocabulary. */
export const tokenCorpus: Sample[] = hermes
  .filter(({ answer }) => answer.includes('<tool_call>\n') && !answer.includes('<think>'))
  .map((sample) => ({ format: 'hermes', ...sample, answer: special(sample.answer) }));
