/**
 * Tools for models whose template knows none: they are shown in the system prompt, calls and results stand in the
 * text of the messages, in the form of the Hermes models or, for Gemma, in the bare JSON of its documentation.
 */
import type { ChatMessage, ToolCall, ToolDefinition, ToolFormat } from '../../types.js';
import { messageText } from '../message-text.js';
import { fieldsOf } from './argument-values.js';

/** A tool as OpenAI's API and the templates have it. */
export function templateTool(tool: ToolDefinition): Record<string, unknown> {
  const { name, description, parameters = { type: 'object', properties: {} } } = tool;
  const described = description === undefined ? {} : { description };
  return { type: 'function', function: { name, ...described, parameters } };
}

/** The same with a description, perhaps an empty one, of the tool and of each of its parameters. */
export function describedTool(tool: Record<string, unknown>): Record<string, unknown> {
  const { function: shown } = tool;
  const { description = '', parameters, ...rest } = shown as Record<string, unknown>;
  const { properties, ...others } = (fieldsOf(parameters) ?? {}) as Record<string, unknown>;
  const described = Object.entries(fieldsOf(properties) ?? {}).map(([name, schema]) => {
    const fields = fieldsOf(schema);
    return [name, fields ? { description: '', ...fields } : schema];
  });
  return {
    ...tool,
    function: { ...rest, description, parameters: { ...others, properties: Object.fromEntries(described) } },
  };
}

/** The conversation with what the system says at the beginning of the user's first message. */
export function withSystemAsUser(messages: readonly ChatMessage[]): ChatMessage[] {
  const [system, user, ...rest] = messages;
  if (system === undefined) return [];
  const told: ChatMessage = { role: 'user', content: messageText(system) };
  if (user?.role !== 'user') return [told, ...messages.slice(1)];
  return [{ ...user, content: `${messageText(system)}\n\n${messageText(user)}` }, ...rest];
}

/** The conversation with the tools in its system message. */
export function withToolPrompt(
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[],
  format: ToolFormat,
): ChatMessage[] {
  const prompt = toolPrompt(tools, format);
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: prompt }, ...messages];
  return [{ ...first, content: `${messageText(first)}\n\n${prompt}` }, ...rest];
}

/** How the prompt shows a call, for templates that do not show tools. */
const examples: Readonly<Partial<Record<ToolFormat, string>>> = {
  hermes: '<tool_call>\n{"name": "the function", "arguments": {"argument": "value"}}\n</tool_call>',
  gemma: '{"name": "the function", "parameters": {"argument": "value"}}',
  deepseek:
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>the function<｜tool▁sep｜>{"argument": "value"}' +
    '<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
  'deepseek-r1':
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>the function\n```json\n' +
    '{"argument": "value"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
};

/** Formats that can be told in a prompt. */
export const toldFormats: ReadonlySet<ToolFormat> = new Set(Object.keys(examples) as ToolFormat[]);

function toolPrompt(tools: readonly ToolDefinition[], format: ToolFormat): string {
  const shown = tools.map((tool) => JSON.stringify(templateTool(tool))).join('\n');
  const where = format === 'gemma' ? 'on a line of its own' : 'between tags, once for each call';
  return (
    `You can call these functions:\n<tools>\n${shown}\n</tools>\n\n` +
    `To call one, write its name and its arguments as JSON, ${where}:\n${examples[format] ?? examples.hermes}\n\n` +
    'What it returns comes between <tool_response> and </tool_response>.'
  );
}

/** The message with its calls in its text. */
export function withCallsInText(message: ChatMessage, format: ToolFormat): ChatMessage {
  const { toolCalls = [], ...rest } = message;
  if (toolCalls.length === 0) return message;
  const text = messageText(message);
  const parts = [...(text === '' ? [] : [text]), ...toolCalls.map((call) => writtenCall(call, format))];
  return { ...rest, content: parts.join('\n') };
}

function writtenCall(call: ToolCall, format: ToolFormat): string {
  const name = JSON.stringify(call.name);
  const args = call.arguments.trim() === '' ? '{}' : call.arguments;
  if (format === 'gemma' || format === 'llama') return `{"name": ${name}, "parameters": ${args}}`;
  return `<tool_call>\n{"name": ${name}, "arguments": ${args}}\n</tool_call>`;
}

/** The conversation with each call in a message of its own, and its result behind it. */
export function withOneCallEach(messages: readonly ChatMessage[]): ChatMessage[] {
  const placed = new Set<ChatMessage>();
  return messages.flatMap((message, at) => {
    if (placed.has(message)) return [];
    const { toolCalls = [], ...rest } = message;
    if (toolCalls.length < 2) return [message];
    const results = resultsFrom(messages, at + 1);
    return toolCalls.flatMap((call, i): ChatMessage[] => {
      const calling = { ...(i === 0 ? rest : { role: rest.role, content: '' }), toolCalls: [call] };
      const own = results.filter(({ toolCallId }) => toolCallId === call.id);
      for (const result of own) placed.add(result);
      return [calling, ...own];
    });
  });
}

/** Results that follow on each other from here on. */
function resultsFrom(messages: readonly ChatMessage[], from: number): readonly ChatMessage[] {
  const end = messages.findIndex((message, i) => i >= from && message.role !== 'tool');
  return messages.slice(from, end < 0 ? undefined : end);
}

/** The conversation with results as words of the user, in one message with what the user says next to them. */
export function withResultsInText(messages: readonly ChatMessage[]): ChatMessage[] {
  const result: ChatMessage[] = [];
  let afterResult = false;
  for (const message of messages) {
    const isResult = message.role === 'tool';
    const spoken = isResult ? userResult(message) : message;
    const joins: boolean = spoken.role === 'user' && (isResult || afterResult);
    const joined = joins ? joinedWords(result.at(-1), spoken) : undefined;
    if (joined) result[result.length - 1] = joined;
    else result.push(spoken);
    afterResult = joins;
  }
  return result;
}

function userResult(message: ChatMessage): ChatMessage {
  return { role: 'user', content: `<tool_response>\n${messageText(message)}\n</tool_response>` };
}

/** Undefined where the user did not speak before. */
function joinedWords(first: ChatMessage | undefined, second: ChatMessage): ChatMessage | undefined {
  if (first?.role !== 'user') return undefined;
  return { ...first, content: `${messageText(first)}\n${messageText(second)}` };
}
