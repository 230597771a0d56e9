/** `tools` and `tool_choice` of Anthropic's API. Tools that run on Anthropic's servers are refused by name. Pure. */
import type { ChatOptions, ToolChoice, ToolDefinition } from '../../engine/types.js';
import { Fields } from '../fields.js';
import { isEmptyList, readCacheControl, readObject, required } from './content-blocks.js';

export type ToolOptions = Pick<ChatOptions, 'tools' | 'toolChoice' | 'parallelToolCalls'>;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readTools(fields: Fields): ToolOptions {
  const list = fields.array('tools') ?? [];
  const tools = list.map((entry, index) => readTool(new Fields(entry, `tools[${index}]`)));
  const choice = readChoice(fields, tools);
  return tools.length === 0 ? {} : { tools, ...choice };
}

function readTool(fields: Fields): ToolDefinition {
  const type = fields.text('type') ?? 'custom';
  if (type !== 'custom')
    throw fields.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 60))}`);
  const name = required(fields, 'name');
  const parameters = readObject(fields, 'input_schema');
  const description = fields.text('description');
  const strict = fields.flag('strict');
  readCacheControl(fields);
  // Arguments are sent as they are written, whether or not it is asked for.
  fields.flag('eager_input_streaming');
  fields.refuse({
    allowed_callers: (value) => JSON.stringify(value) === '["direct"]',
    defer_loading: (value) => value === false,
    input_examples: isEmptyList,
  });
  fields.end();
  return {
    name,
    parameters,
    ...(description === undefined ? {} : { description }),
    ...(strict === undefined ? {} : { strict }),
  };
}

function readChoice(fields: Fields, tools: readonly ToolDefinition[]): Omit<ToolOptions, 'tools'> {
  const raw = fields.raw('tool_choice');
  if (raw === undefined) return {};
  const choice = new Fields(raw, 'tool_choice');
  const type = choice.choice('type', ['auto', 'any', 'tool', 'none']);
  if (type === undefined) throw choice.missing('type', 'one of auto, any, tool, none');
  const toolChoice = type === 'tool' ? readNamed(choice, tools) : toolChoices[type];
  const isSingle = type !== 'none' && choice.flag('disable_parallel_tool_use') === true;
  choice.end();
  const isForced = type === 'any' || type === 'tool';
  if (isForced && tools.length === 0) throw fields.missing('tools', `given when "tool_choice" is "${type}"`);
  return { toolChoice, ...(isSingle ? { parallelToolCalls: false } : {}) };
}

const toolChoices = { auto: 'auto', any: 'required', none: 'none' } as const satisfies Record<
  string,
  ToolChoice
>;

function readNamed(choice: Fields, tools: readonly ToolDefinition[]): ToolChoice {
  const name = required(choice, 'name');
  if (tools.some((tool) => tool.name === name)) return { name };
  throw choice.invalid('name', name, 'the name of one of the tools');
}
