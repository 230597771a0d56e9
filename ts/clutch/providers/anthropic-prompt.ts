/** A request in Anthropic's form, with its at most four cache breakpoints. Pure. */
import type Anthropic from '@anthropic-ai/sdk';
import type { AssistantMessage, Message } from '../conversation.js';
import { keptFor } from './adapter.js';
import { argumentsObject } from './json-arguments.js';
import type { ProviderRequest } from './provider.js';
import { splitText } from './trim.js';

export type ContentBlock = Anthropic.ContentBlockParam;
export type Content = ContentBlock[];

type Marked = { cache_control?: Anthropic.CacheControlEphemeral | null };

/** Tools come first in the prompt, then the system's blocks, then the messages. */
export function messageParams(
  request: ProviderRequest,
  provider: string,
): Omit<Anthropic.MessageCreateParamsStreaming, 'stream'> {
  const { model, maxTokens, mustCall } = request;
  const system = [...textBlocks([request.system]), ...textBlocks(request.context)];
  const tools = request.tools.map(
    ({ name, description, parameters }): Anthropic.Tool => ({
      name,
      description,
      input_schema: { ...parameters, type: 'object' },
    }),
  );
  markLast(tools);
  return {
    model,
    max_tokens: maxTokens,
    messages: messagesOf(request.messages, provider),
    ...(system.length === 0 ? {} : { system }),
    ...(tools.length === 0 ? {} : { tools }),
    ...(mustCall === undefined ? {} : { tool_choice: { type: 'tool', name: mustCall } }),
  };
}

function textBlocks(texts: readonly string[]): Anthropic.TextBlockParam[] {
  const blocks = texts
    .flatMap((text) => splitText(text))
    .map((text): Anthropic.TextBlockParam => ({ type: 'text', text }));
  markLast(blocks);
  return blocks;
}

function messagesOf(messages: readonly Message[], provider: string): Anthropic.MessageParam[] {
  const turns = messages
    .map((message) => ({ role: roleOf(message), content: contentOf(message, provider) }))
    .filter(({ content }) => content.length > 0);
  const [, penultimate] = turns.filter(({ role }) => role === 'user').reverse();
  if (penultimate) markLast(penultimate.content as Marked[]);
  return turns;
}

function roleOf({ role }: Message): 'user' | 'assistant' {
  return role === 'assistant' ? 'assistant' : 'user';
}

function contentOf(message: Message, provider: string): Content {
  switch (message.role) {
    case 'user':
      return textContent(message.text);
    case 'tool':
      return message.results.map(({ id, output, failed }) => ({
        type: 'tool_result',
        tool_use_id: id,
        content: output,
        ...(failed ? { is_error: true } : {}),
      }));
    case 'assistant':
      return answerOf(message, provider);
  }
}

/** What was kept may carry a mark of somebody else's; the places for marks are ours. */
function answerOf(message: AssistantMessage, provider: string): Content {
  const kept = keptFor(provider, message) as Content | undefined;
  if (kept) return kept.map(withoutMarks) as Content;
  const calls = message.calls.map((call): ContentBlock => {
    const { id, name } = call;
    return { type: 'tool_use', id, name, input: argumentsObject(call.arguments) };
  });
  return [...textContent(message.text), ...calls];
}

/** In all depths: blocks may hold blocks. A call's input is the model's, whatever it calls its fields. */
function withoutMarks(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMarks);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => name !== 'cache_control');
  return Object.fromEntries(
    entries.map(([name, inner]) => [name, name === 'input' ? inner : withoutMarks(inner)]),
  );
}

/** The interface takes no empty blocks. */
function textContent(text: string): Content {
  return text === '' ? [] : [{ type: 'text', text }];
}

function markLast(blocks: Marked[]): void {
  const last = blocks.at(-1);
  if (last) last.cache_control = { type: 'ephemeral' };
}
