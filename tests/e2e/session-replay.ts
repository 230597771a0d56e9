/**
 * Replays a recorded session of a coding agent as its program would send it, by either protocol. History is made
 * of what the server answered, the way that clients keep it: arguments parsed and written again.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { ScriptedAnswer } from './scripted-process.js';

export interface Call {
  readonly name: string;
  readonly arguments: unknown;
}

export interface Step {
  readonly conversation: string;
  /** What the user says, or what the calls of the answer before returned. */
  readonly user?: string;
  readonly results?: readonly string[];
  /** As the model writes it. */
  readonly answer: string;
}

export interface Session {
  readonly system: readonly string[];
  readonly tools: readonly { name: string; description: string; input_schema: { type: 'object' } }[];
  readonly steps: readonly Step[];
}

const file = join(import.meta.dirname, '../fixtures/sessions/coding-session.json');
export const session = JSON.parse(readFileSync(file, 'utf8')) as Session;

/** Later steps come first: a prompt holds what earlier ones added, too. */
export function scriptOf({ steps }: Session): ScriptedAnswer[] {
  return steps.map((step) => ({ match: lastAdded(step), answer: step.answer })).reverse();
}

function lastAdded({ user, results }: Step): string {
  const marker = /\[\w+\]$/.exec(user ?? results?.at(-1) ?? '')?.[0];
  if (marker === undefined) throw new Error('a step adds nothing that tells it from others');
  return marker;
}

/** What is to arrive of an answer. */
export function parts(answer: string): { text: string; calls: Call[] } {
  const [text = '', ...blocks] = answer.split(/^<tool_call>$/m);
  return {
    text: text.trim(),
    calls: blocks.map((block) => JSON.parse(block.replace('</tool_call>', '')) as Call),
  };
}

/** What came of one request. */
export interface Turn {
  readonly agent: string | undefined;
  readonly text: string;
  readonly calls: readonly Call[];
  /** Tokens of the prompt, those found in a cache, and those of the answer. */
  readonly prompt: number;
  readonly cached: number;
  readonly answer: number;
  readonly missReason: string | null | undefined;
}

export interface Replay {
  turn(url: string, step: Step): Promise<Turn>;
}

/** Histories by the name of the conversation. */
class Histories<Message> {
  readonly #all = new Map<string, Message[]>();

  of(conversation: string): Message[] {
    const known = this.#all.get(conversation) ?? [];
    this.#all.set(conversation, known);
    return known;
  }
}

export class AnthropicReplay implements Replay {
  readonly #histories = new Histories<Anthropic.MessageParam>();

  async turn(url: string, step: Step): Promise<Turn> {
    const client = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
    const messages = this.#histories.of(step.conversation);
    messages.push({ role: 'user', content: step.user ?? toolResults(messages.at(-1), step.results ?? []) });
    const stream = client.messages.stream({
      model: 'tiny-chat',
      max_tokens: 4096,
      system: anthropicSystem(),
      tools: [...session.tools],
      messages,
    });
    let missReason: Turn['missReason'];
    stream.on('streamEvent', (event) => {
      if (event.type === 'message_delta') missReason = Object(event.usage).cache_miss_reason as string | null;
    });
    const { response } = await stream.withResponse();
    const { content, usage } = await stream.finalMessage();
    messages.push({ role: 'assistant', content });
    return {
      agent: response.headers.get('x-agent-id') ?? undefined,
      text: content.flatMap((block) => (block.type === 'text' ? [block.text.trim()] : [])).join(''),
      calls: content.flatMap((block) =>
        block.type === 'tool_use' ? [{ name: block.name, arguments: block.input }] : [],
      ),
      prompt: usage.input_tokens + (usage.cache_read_input_tokens ?? 0),
      cached: usage.cache_read_input_tokens ?? 0,
      answer: usage.output_tokens,
      missReason,
    };
  }

  /** Of a conversation that begins with a word that nobody says. */
  async beginning(url: string): Promise<number> {
    const client = new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 });
    const counted = await client.messages.countTokens({
      model: 'tiny-chat',
      system: anthropicSystem(),
      tools: [...session.tools],
      messages: [{ role: 'user', content: '~' }],
    });
    return counted.input_tokens;
  }
}

/** The bookkeeping line is another one in each request. */
function anthropicSystem(): Anthropic.TextBlockParam[] {
  return session.system.map((text) => ({
    type: 'text',
    text: text.replaceAll('NONCE', () => randomBytes(3).toString('hex')),
  }));
}

function toolResults(
  last: Anthropic.MessageParam | undefined,
  results: readonly string[],
): Anthropic.ToolResultBlockParam[] {
  const blocks = Array.isArray(last?.content) ? last.content : [];
  const ids = blocks.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []));
  return ids.map((id, i) => ({ type: 'tool_result', tool_use_id: id, content: results[i] ?? '' }));
}

export class OpenAiReplay implements Replay {
  readonly #histories = new Histories<OpenAI.ChatCompletionMessageParam>();

  async turn(url: string, step: Step): Promise<Turn> {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const messages = this.#histories.of(step.conversation);
    if (messages.length === 0) messages.push({ role: 'system', content: session.system[1] ?? '' });
    messages.push(...added(messages.at(-1), step));
    let agent: string | undefined;
    const stream = client.chat.completions
      .stream({
        model: 'tiny-chat',
        tools: session.tools.map(openAiTool),
        messages,
        stream_options: { include_usage: true },
      })
      .on('chunk', (chunk) => (agent = (chunk as { agent_id?: string }).agent_id));
    const { choices, usage } = await stream.finalChatCompletion();
    const { content = null, tool_calls: calls = [] } = choices[0]?.message ?? {};
    const parsed = calls.map((call) => JSON.parse(call.function.arguments) as unknown);
    messages.push({
      role: 'assistant',
      content,
      ...(calls.length > 0 && { tool_calls: calls.map((call, i) => respelled(call, parsed[i])) }),
    });
    const details = usage?.prompt_tokens_details;
    return {
      agent,
      text: content?.trim() ?? '',
      calls: calls.map((call, i) => ({ name: call.function.name, arguments: parsed[i] })),
      prompt: usage?.prompt_tokens ?? 0,
      cached: details?.cached_tokens ?? 0,
      answer: usage?.completion_tokens ?? 0,
      missReason: (details as { miss_reason?: string | null } | undefined)?.miss_reason,
    };
  }
}

function added(
  last: OpenAI.ChatCompletionMessageParam | undefined,
  { user, results = [] }: Step,
): OpenAI.ChatCompletionMessageParam[] {
  if (user !== undefined) return [{ role: 'user', content: user }];
  const calls = last?.role === 'assistant' ? (last.tool_calls ?? []) : [];
  return calls.map(({ id }, i) => ({ role: 'tool', tool_call_id: id, content: results[i] ?? '' }));
}

function openAiTool({ name, description, input_schema }: Session['tools'][number]) {
  return { type: 'function' as const, function: { name, description, parameters: { ...input_schema } } };
}

/** Arguments as another program would write them. */
function respelled(call: OpenAI.ChatCompletionMessageFunctionToolCall, parsed: unknown) {
  const { id, type, function: asked } = call;
  return { id, type, function: { name: asked.name, arguments: JSON.stringify(parsed, null, 1) } };
}
