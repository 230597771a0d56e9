/** Which family writes calls as a template does. */
import type { ToolFormat } from '../../types.js';

interface Spelling {
  readonly format: ToolFormat;
  /** All stand in the source of its templates. */
  readonly marks: readonly string[];
  /** How a call looks; {name} and {argument} stand for these. */
  readonly call: string;
}

/** The first whose marks are there counts. */
const spellings: readonly Spelling[] = [
  { format: 'harmony', marks: ['<|channel|>'], call: String.raw`to=functions\.{name}` },
  { format: 'mistral', marks: ['[TOOL_CALLS]'], call: String.raw`\[TOOL_CALLS\].*{name}` },
  {
    format: 'deepseek-r1',
    marks: ['<｜tool▁calls▁begin｜>', '```json'],
    call: String.raw`<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n\x60{3}json`,
  },
  {
    format: 'deepseek',
    marks: ['<｜tool▁calls▁begin｜>'],
    call: String.raw`<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>\{`,
  },
  {
    format: 'kimi',
    marks: ['<|tool_call_begin|>'],
    call: String.raw`<\|tool_call_begin\|>functions\.{name}:0<\|tool_call_argument_begin\|>\{`,
  },
  {
    format: 'qwen-coder',
    marks: ['<tool_call>', '<function=', '<parameter='],
    call: String.raw`<tool_call>\s*<function={name}>\s*<parameter={argument}>`,
  },
  {
    format: 'glm',
    marks: ['<tool_call>', '<arg_key>'],
    call: String.raw`<tool_call>{name}\s*<arg_key>{argument}</arg_key>\s*<arg_value>`,
  },
  { format: 'hermes', marks: ['<tool_call>'], call: String.raw`<tool_call>\s*\{\s*"name":\s*"{name}"` },
  { format: 'llama', marks: ['<|python_tag|>'], call: llamaCall() },
  { format: 'llama', marks: ['ipython'], call: llamaCall() },
];

function llamaCall(): string {
  return String.raw`\{"name":\s*"{name}",\s*"parameters":`;
}

/** The family that a template seems to be of. */
export function templateFormat(source: string): ToolFormat | undefined {
  return spellings.find(({ marks }) => marks.every((mark) => source.includes(mark)))?.format;
}

/** Whether a call in a rendered conversation is written as this family does. */
export function spells(format: ToolFormat, rendered: string, name: string, argument: string): boolean {
  const calls = spellings.filter((spelling) => spelling.format === format).map(({ call }) => call);
  return calls.some((call) =>
    new RegExp(call.replace('{name}', name).replace('{argument}', argument), 's').test(rendered),
  );
}
