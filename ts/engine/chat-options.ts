/** What chat can ask for beyond sampling: tools, thoughts, the form of the answer. Checked and completed. */
import { checkBoolean, checkFields, checkInteger, refuse } from '../arguments.js';
import { toolNameRule, toolNames } from './text/messages.js';
import type {
  ChatOptions,
  JsonSchema,
  ReasoningOptions,
  ResponseFormat,
  ToolChoice,
  ToolDefinition,
} from './types.js';

export interface FullChatOptions {
  tools: readonly ToolDefinition[];
  toolChoice: ToolChoice;
  parallelToolCalls: boolean;
  responseFormat: ResponseFormat | undefined;
  reasoning: ReasoningOptions;
}

/** Options that `checkChatOptions` checks. */
export const chatFields = [
  'tools',
  'toolChoice',
  'parallelToolCalls',
  'responseFormat',
  'reasoning',
] as const satisfies readonly (keyof ChatOptions)[];

const maxTools = 512;
const maxBudgetTokens = 2 ** 31 - 1;

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function checkChatOptions(options: Pick<ChatOptions, (typeof chatFields)[number]>): FullChatOptions {
  const tools = checkTools(options.tools);
  return {
    tools,
    toolChoice: checkToolChoice(options.toolChoice, tools),
    parallelToolCalls: checkBoolean('parallelToolCalls', options.parallelToolCalls, true),
    responseFormat: checkResponseFormat(options.responseFormat),
    reasoning: checkReasoning(options.reasoning),
  };
}

function checkTools(value: unknown): ToolDefinition[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > maxTools)
    refuse('tools', value, `an array of at most ${maxTools}`);
  const tools = value.map((tool, i) => checkTool(`tools[${i}]`, tool));
  const names = new Set<string>();
  for (const [i, { name }] of tools.entries()) {
    if (names.has(name)) refuse(`tools[${i}].name`, name, 'a name that no other tool has');
    names.add(name);
  }
  return tools;
}

function checkTool(field: string, value: unknown): ToolDefinition {
  checkFields(field, value, ['name', 'description', 'parameters', 'strict']);
  const { name, description, parameters, strict } = value as Record<string, unknown>;
  if (typeof name !== 'string' || !toolNameRule.test(name)) refuse(`${field}.name`, name, toolNames);
  if (description !== undefined && typeof description !== 'string')
    refuse(`${field}.description`, description, 'a text');
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(parameters === undefined ? {} : { parameters: checkSchema(`${field}.parameters`, parameters) }),
    strict: checkBoolean(`${field}.strict`, strict, false),
  };
}

function checkSchema(field: string, value: unknown): JsonSchema {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    refuse(field, value, 'a JSON Schema');
  return value as JsonSchema;
}

function checkToolChoice(value: unknown, tools: readonly ToolDefinition[]): ToolChoice {
  if (value === undefined || value === 'auto' || value === 'none') return value ?? 'auto';
  if (value === 'required') {
    return tools.length > 0
      ? value
      : refuse('toolChoice', value, "'auto' or 'none' where there are no tools");
  }
  if (typeof value !== 'object') {
    refuse('toolChoice', value, "'auto', 'none', 'required' or an object with the name of a tool");
  }
  checkFields('toolChoice', value, ['name']);
  const { name } = value as { name?: unknown };
  const found = tools.find((tool) => tool.name === name);
  return found ? { name: found.name } : refuse('toolChoice.name', name, 'the name of one of the tools');
}

function checkResponseFormat(value: unknown): ResponseFormat | undefined {
  if (value === undefined) return undefined;
  checkFields('responseFormat', value, ['type', 'schema']);
  const { type, schema } = value as Record<string, unknown>;
  if (type === 'json_object') {
    return schema === undefined
      ? { type }
      : refuse('responseFormat.schema', schema, "left out of 'json_object'");
  }
  if (type !== 'json_schema') refuse('responseFormat.type', type, "'json_object' or 'json_schema'");
  return { type, schema: checkSchema('responseFormat.schema', schema) };
}

function checkReasoning(value: unknown): ReasoningOptions {
  if (value === undefined) return {};
  checkFields('reasoning', value, ['enabled', 'budgetTokens']);
  const { enabled, budgetTokens } = value as Record<string, unknown>;
  const rule = { min: 1, max: maxBudgetTokens };
  return {
    ...(enabled === undefined ? {} : { enabled: checkBoolean('reasoning.enabled', enabled, true) }),
    ...(budgetTokens === undefined
      ? {}
      : { budgetTokens: checkInteger('reasoning.budgetTokens', budgetTokens, 1, rule) }),
  };
}
