/**
 * What a chat template can say, found out by rendering small conversations: templates have no other way to tell.
 * Markers in its source tell the family, how it writes a call confirms it.
 */
import type { ToolFormat } from '../types.js';
import { spells, templateFormat } from './tools/format-spelling.js';
import { toldFormats } from './tools/tool-prompt.js';

export interface TemplateTraits {
  /** How calls are written. */
  readonly toolFormat: ToolFormat;
  /** The template shows tools itself; else the tools, calls and results go into the text of the messages. */
  readonly showsTools: boolean;
  /** What it takes the arguments of a call for; `none`: it shows no calls. */
  readonly calls: 'object' | 'text' | 'none';
  /** It takes a message without text, but with calls, only when its text is null. */
  readonly nullText: boolean;
  /** It shows what the system says. */
  readonly showsSystem: boolean;
  /** It shows messages of the role `tool`. */
  readonly showsResults: boolean;
  /** It shows all calls of a message with several. */
  readonly parallelCalls: boolean;
  /** Answers are in the format of GPT-OSS, with calls or without. */
  readonly harmony: boolean;
  /** Markers around thoughts. */
  readonly thoughts: readonly [open: string, close: string] | undefined;
}

/** Renders a conversation with what else a template may want; may throw. */
export type Probe = (context: Record<string, unknown>) => string;

// No template holds these by itself.
const toolName = 'probe_tool_x7';
const otherName = 'probe_tool_y8';
const argument = 'probe_argument_z9';
const otherArgument = 'probe_argument_v5';
const result = 'probe_result_w6';

const user = { role: 'user', content: 'x' };
const tools = [toolName, otherName].map((name) => ({
  type: 'function',
  function: { name, description: 'x', parameters: { type: 'object', properties: {} } },
}));

/** @param hasToken whether the vocabulary has this marker. */
export function templateTraits(
  source: string,
  render: Probe,
  hasToken: (marker: string) => boolean,
): TemplateTraits {
  const rendered: Rendered = (messages, context = { tools }) => {
    try {
      return render({ messages, ...context });
    } catch {
      return ''; // refusing is an answer, too
    }
  };
  return {
    ...toolTraits(source, rendered),
    showsSystem: rendered([{ role: 'system', content: result }, user], {}).includes(result),
    harmony: templateFormat(source) === 'harmony',
    thoughts: thoughtMarkers(source, hasToken),
  };
}

/** A conversation as the template has it; empty when it refuses. */
type Rendered = (messages: readonly Record<string, unknown>[], context?: Record<string, unknown>) => string;

type ToolTraits = Omit<TemplateTraits, 'showsSystem' | 'harmony' | 'thoughts'>;

function toolTraits(source: string, rendered: Rendered): ToolTraits {
  const style = callStyle(rendered);
  const format = confirmedFormat(source, style);
  const showsTools = format !== undefined && rendered([user]).includes(toolName);
  const served = format !== undefined && isServed(format, showsTools, style.calls !== 'none');
  if (!served) return { ...noTools, toolFormat: source.includes('<start_of_turn>') ? 'gemma' : 'hermes' };
  const { calls, nullText } = style;
  const write = (name: string): unknown => (calls === 'text' ? `{"${name}": 1}` : { [name]: 1 });
  const content = nullText ? null : '';
  const one = [...called([write(argument)], content), { ...results(1)[0], content: result }];
  const both = rendered([...called([write(argument), write(otherArgument)], content), ...results(2)]);
  return {
    toolFormat: format,
    showsTools,
    calls,
    nullText,
    showsResults: rendered(one).includes(result),
    parallelCalls: calls === 'none' || (both.includes(argument) && both.includes(otherArgument)),
  };
}

/** What the template does not show is written into the messages, as far as that can be done. */
function isServed(format: ToolFormat, showsTools: boolean, showsCalls: boolean): boolean {
  if (!showsCalls) return showsTools && !shownFormats.has(format);
  return showsTools || toldFormats.has(format);
}

/** Formats whose calls only a template writes. */
const shownFormats: ReadonlySet<ToolFormat> = new Set([
  'qwen-coder',
  'glm',
  'deepseek',
  'deepseek-r1',
  'kimi',
]);

/** All of tools stands in the text of the messages. */
const noTools: Omit<ToolTraits, 'toolFormat'> = {
  showsTools: false,
  calls: 'none',
  nullText: false,
  showsResults: false,
  parallelCalls: true,
};

function confirmedFormat(source: string, { call }: CallStyle): ToolFormat | undefined {
  const format = templateFormat(source);
  if (format === undefined || call === '') return format;
  return spells(format, call, toolName, argument) ? format : undefined;
}

interface CallStyle extends Pick<TemplateTraits, 'calls' | 'nullText'> {
  /** A conversation with a call; empty where none is shown. */
  readonly call: string;
}

function callStyle(rendered: Rendered): CallStyle {
  const withCall = (args: unknown, content: string | null) => {
    const text = rendered([...called([args], content), ...results(1)]);
    return text.includes(argument) ? text : '';
  };
  for (const [calls, args] of writtenArguments) {
    const empty = withCall(args, '');
    const none = withCall(args, null);
    // For an empty text, some write an empty message beside the call.
    const nullText = none !== '' && (empty === '' || none.length < empty.length);
    if (empty !== '' || nullText) return { calls, nullText, call: nullText ? none : empty };
  }
  return { calls: 'none', nullText: false, call: '' };
}

const writtenArguments = [
  ['object', { [argument]: 1 }],
  ['text', `{"${argument}": 1}`],
] as const;

const idOf = (call: number) => `probe000${call}`;

function called(calls: readonly unknown[], content: string | null): Record<string, unknown>[] {
  const tool_calls = calls.map((args, i) => ({
    id: idOf(i),
    type: 'function',
    function: { name: i === 0 ? toolName : otherName, arguments: args },
  }));
  return [user, { role: 'assistant', content, tool_calls }];
}

function results(count: number): Record<string, unknown>[] {
  return [toolName, otherName]
    .slice(0, count)
    .map((name, i) => ({ role: 'tool', name, tool_call_id: idOf(i), content: 'x' }));
}

function thoughtMarkers(
  source: string,
  hasToken: (marker: string) => boolean,
): readonly [string, string] | undefined {
  if (source.includes('<|channel|>')) return undefined;
  if (source.includes('[THINK]') || hasToken('[THINK]')) return ['[THINK]', '[/THINK]'];
  if (source.includes('</think>') || hasToken('</think>')) return ['<think>', '</think>'];
  return undefined;
}
