/**
 * What a chat template can say, found out by rendering small conversations: templates have no other way to tell.
 * Markers in its source tell the family.
 */
import type { ToolFormat } from '../types.js';

export interface TemplateTraits {
  /** How calls are written. */
  readonly toolFormat: ToolFormat;
  /** The template shows tools itself; else the tools, calls and results go into the text of the messages. */
  readonly showsTools: boolean;
  /** What it takes the arguments of a call for; `none`: it shows no calls. */
  readonly calls: 'object' | 'text' | 'none';
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
  const shown: Shown = (messages, ...wanted) => {
    try {
      const text = render({ messages, tools });
      return wanted.every((word) => text.includes(word));
    } catch {
      return false; // refusing is an answer, too
    }
  };
  const known = knownFormat(source);
  const showsTools = known !== undefined && shown([user], toolName);
  const calls = showsTools ? callsOf(shown) : 'none';
  const write = (name: string): unknown => (calls === 'text' ? `{"${name}": 1}` : { [name]: 1 });
  const both = called(write(argument), write(otherArgument));
  return {
    toolFormat: showsTools ? known : source.includes('<start_of_turn>') ? 'gemma' : 'hermes',
    showsTools,
    calls,
    showsResults:
      showsTools && shown([...called(write(argument)), { ...results(1)[0], content: result }], result),
    parallelCalls: calls === 'none' || shown([...both, ...results(2)], argument, otherArgument),
    harmony: known === 'harmony',
    thoughts: thoughtMarkers(source, hasToken),
  };
}

/** Whether these words appear when these messages are rendered. */
type Shown = (messages: readonly Record<string, unknown>[], ...wanted: string[]) => boolean;

function callsOf(shown: Shown): TemplateTraits['calls'] {
  const takes = (args: unknown) => shown([...called(args), ...results(1)], argument);
  if (takes({ [argument]: 1 })) return 'object';
  return takes(`{"${argument}": 1}`) ? 'text' : 'none';
}

function knownFormat(source: string): ToolFormat | undefined {
  if (source.includes('<|channel|>')) return 'harmony';
  if (source.includes('[TOOL_CALLS]')) return 'mistral';
  // Some write the calls of this tag in another form.
  if (source.includes('<tool_call>')) return source.includes('<function=') ? undefined : 'hermes';
  if (source.includes('<|python_tag|>') || source.includes('ipython')) return 'llama';
  return undefined;
}

const idOf = (call: number) => `probe000${call}`;

function called(...calls: readonly unknown[]): Record<string, unknown>[] {
  const tool_calls = calls.map((args, i) => ({
    id: idOf(i),
    type: 'function',
    function: { name: i === 0 ? toolName : otherName, arguments: args },
  }));
  return [user, { role: 'assistant', content: '', tool_calls }];
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
