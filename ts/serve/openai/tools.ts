/** The tools of a request, as OpenAI's chat completions have them: functions only. Pure. */
import type { ChatOptions, JsonSchema, ToolChoice, ToolDefinition } from '../../engine/types.js';
import { Fields } from '../fields.js';

export type ToolOptions = Pick<ChatOptions, 'tools' | 'toolChoice' | 'parallelToolCalls'>;

const MAX_TOOLS = 512;
const NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const NAME_ALLOWED = '1 to 128 of the characters A-Z a-z 0-9 _ . -';

/** What the model may do with the tools. */
interface Choice {
  readonly toolChoice?: ToolChoice;
  /** The only tools it may call. */
  readonly only?: ReadonlySet<string>;
}

/** Nothing is set when there are no tools. @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readTools(fields: Fields): ToolOptions {
  const tools = readDefinitions(fields);
  const { toolChoice, only } = readChoice(fields, tools);
  const parallelToolCalls = fields.flag('parallel_tool_calls');
  if (tools.length === 0) return {};
  return {
    tools: only ? tools.filter((tool) => only.has(tool.name)) : tools,
    ...(toolChoice === undefined ? {} : { toolChoice }),
    ...(parallelToolCalls === undefined ? {} : { parallelToolCalls }),
  };
}

function readDefinitions(fields: Fields): ToolDefinition[] {
  const list = fields.array('tools') ?? [];
  if (list.length > MAX_TOOLS) throw fields.invalid('tools', list.length, `at most ${MAX_TOOLS} tools`);
  const names = new Set<string>();
  return list.map((entry, index) => {
    const inner = functionOf(new Fields(entry, `${fields.name('tools')}[${index}]`));
    const tool = readDefinition(inner);
    if (names.has(tool.name)) throw inner.invalid('name', tool.name, 'unlike the names of the other tools');
    names.add(tool.name);
    return tool;
  });
}

function readDefinition(fields: Fields): ToolDefinition {
  const tool: ToolDefinition = { name: toolName(fields) };
  const description = fields.text('description');
  if (description !== undefined) tool.description = description;
  const parameters = readSchema(fields, 'parameters');
  if (parameters !== undefined) tool.parameters = parameters;
  const strict = fields.flag('strict');
  if (strict !== undefined) tool.strict = strict;
  fields.end();
  return tool;
}

/** A JSON Schema; what it says is the engine's to check. */
export function readSchema(fields: Fields, field: string): JsonSchema | undefined {
  const value = fields.raw(field);
  if (value === undefined) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return value as JsonSchema;
  throw fields.invalid(field, value, 'a JSON Schema, as an object');
}

/** `{"type": "function", "function": {…}}`; every other type is refused by name. */
function functionOf(fields: Fields): Fields {
  const type = fields.text('type');
  if (type === undefined) throw fields.missing('type', '"function"');
  if (type !== 'function') {
    throw fields.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 40))}`);
  }
  const raw = fields.raw('function');
  if (raw === undefined) throw fields.missing('function', 'an object with a name');
  fields.end();
  return new Fields(raw, fields.name('function'));
}

function toolName(fields: Fields): string {
  const name = fields.text('name');
  if (name === undefined) throw fields.missing('name', NAME_ALLOWED);
  if (!NAME.test(name)) throw fields.invalid('name', name, NAME_ALLOWED);
  return name;
}

function readChoice(fields: Fields, tools: readonly ToolDefinition[]): Choice {
  const raw = fields.raw('tool_choice');
  if (raw === undefined) return {};
  const choice =
    typeof raw === 'object'
      ? readChoiceObject(new Fields(raw, fields.name('tool_choice')), tools)
      : { toolChoice: fields.choice('tool_choice', ['auto', 'none', 'required']) ?? 'auto' };
  const forces = choice.toolChoice !== 'auto' && choice.toolChoice !== 'none';
  if (forces && tools.length === 0)
    throw fields.invalid('tool_choice', raw, '"auto" or "none" without tools');
  return choice;
}

function readChoiceObject(fields: Fields, tools: readonly ToolDefinition[]): Choice {
  if (fields.raw('type') !== 'allowed_tools') {
    return { toolChoice: { name: knownName(functionOf(fields), tools) } };
  }
  const raw = fields.raw('allowed_tools');
  if (raw === undefined) throw fields.missing('allowed_tools', 'an object with mode and tools');
  fields.end();
  const inner = new Fields(raw, fields.name('allowed_tools'));
  const toolChoice = inner.choice('mode', ['auto', 'required']);
  if (toolChoice === undefined) throw inner.missing('mode', 'one of "auto", "required"');
  const list = inner.array('tools') ?? [];
  if (list.length === 0) throw inner.missing('tools', 'a list of one tool or more');
  inner.end();
  const named = list.map((entry, index) => functionOf(new Fields(entry, `${inner.name('tools')}[${index}]`)));
  return { toolChoice, only: new Set(named.map((one) => knownName(one, tools))) };
}

function knownName(fields: Fields, tools: readonly ToolDefinition[]): string {
  const name = toolName(fields);
  fields.end();
  if (!tools.some((tool) => tool.name === name)) {
    throw fields.invalid('name', name, 'the name of one of the tools');
  }
  return name;
}
