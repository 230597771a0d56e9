/** Anthropic's API: messages. */
import { inHeader, type PathGroup } from '../operation.js';
import {
  anyOf,
  choice,
  flag,
  integer,
  list,
  nullable,
  number,
  object,
  ref,
  request,
  type Schema,
  sent,
  text,
} from '../shapes.js';
import { whose } from './whose.js';

const headers = [...whose, inHeader('anthropic-version', 'Any')];
const cache = { 'cache_control?': nullable(sent({ type: { const: 'ephemeral' } })) };
const textBlock = sent({ type: { const: 'text' }, text: text('Of the block'), ...cache });
const id = text('Of the call', { pattern: '^[a-zA-Z0-9_-]+$' });
const name = text('Of a tool', { pattern: '^[A-Za-z0-9_.-]{1,128}$' });

const block = anyOf(
  textBlock,
  sent({ type: { const: 'tool_use' }, id, name, input: sent({}), ...cache }),
  sent({
    type: { const: 'tool_result' },
    tool_use_id: id,
    'content?': anyOf(text('The result'), list(textBlock)),
    'is_error?': flag('The call failed'),
    ...cache,
  }),
  sent({ type: { const: 'thinking' }, thinking: text('What it thought'), signature: text('As it came') }),
);

const conversation: Readonly<Record<string, Schema>> = {
  model: text('A name of the model that is loaded'),
  messages: list(
    sent({
      role: choice('Who speaks', 'user', 'assistant', 'system'),
      content: anyOf(text('The message'), list(block, { minItems: 1 })),
    }),
    { minItems: 1, maxItems: 10_000 },
  ),
  'system?': anyOf(text('System prompt'), list(textBlock)),
  'tools?': list(
    sent({
      'type?': { const: 'custom' },
      name,
      'description?': text('What it does'),
      input_schema: sent({ type: { const: 'object' } }, { description: 'JSON Schema of the arguments' }),
      ...cache,
    }),
    { maxItems: 512 },
  ),
  'tool_choice?': anyOf(
    sent({
      type: choice('Whether to call', 'auto', 'any', 'none'),
      'disable_parallel_tool_use?': flag('One call at most'),
    }),
    sent({ type: { const: 'tool' }, name, 'disable_parallel_tool_use?': flag('One call at most') }),
  ),
  'thinking?': anyOf(
    sent({ type: choice('Whether to think first', 'disabled', 'adaptive') }),
    sent({ type: { const: 'enabled' }, budget_tokens: integer('Of thoughts', { minimum: 1024 }) }),
  ),
};

export const anthropicPaths: PathGroup = {
  tag: 'anthropic',
  description: "Anthropic's API",
  errorShape: 'AnthropicError',
  paths: {
    '/v1/messages': {
      post: {
        summary: 'Answer a conversation',
        description:
          'Members of the protocol that are not listed are refused by name, or said to be hints in the guide.',
        parameters: headers,
        body: request({
          ...conversation,
          max_tokens: integer('Longest answer', { minimum: 1, maximum: 16_777_216 }),
          'stream?': flag('As server-sent events'),
          'temperature?': number('0 takes the likeliest token', { minimum: 0, maximum: 1, default: 0 }),
          'top_p?': number('Of the likeliest tokens that sum to this', { exclusiveMinimum: 0, maximum: 1 }),
          'top_k?': integer('Of so many likeliest tokens; 0: all', { minimum: 0, maximum: 1_000_000 }),
          'stop_sequences?': list(text('Ends the answer', { minLength: 1, maxLength: 1024 }), {
            maxItems: 16,
          }),
          'metadata?': sent({ 'user_id?': nullable(text('Not used')) }, { additionalProperties: false }),
        }),
        answers: {
          200: { description: 'The answer', schema: ref('Message'), events: 'message_start to message_stop' },
        },
        errors: [404],
      },
    },
    '/v1/messages/count_tokens': {
      post: {
        summary: 'Count the tokens of a prompt',
        parameters: headers,
        body: request(conversation),
        answers: {
          200: {
            description: 'The count',
            schema: sent({ input_tokens: integer('Of the prompt', { minimum: 0 }) }),
          },
        },
        errors: [404],
      },
    },
  },
};

const count = (what: string): Schema => integer(what, { minimum: 0 });

export const anthropicSchemas: Readonly<Record<string, Schema>> = {
  Message: object({
    id: text('Names the answer'),
    type: { const: 'message' },
    role: { const: 'assistant' },
    model: text('As it was asked for'),
    content: list(
      anyOf(
        object({ type: { const: 'text' }, text: text('Of the block') }),
        object({ type: { const: 'thinking' }, thinking: text('What it thought'), signature: text('Opaque') }),
        object({ type: { const: 'tool_use' }, id, name, input: object({}) }),
      ),
    ),
    stop_reason: choice(
      'Why it ended',
      'end_turn',
      'max_tokens',
      'stop_sequence',
      'tool_use',
      'model_context_window_exceeded',
    ),
    stop_sequence: nullable(text('The one that ended it')),
    usage: object({
      input_tokens: count('Of the prompt, computed'),
      cache_creation_input_tokens: count('Always 0: caching costs nothing'),
      cache_read_input_tokens: count('Of the prompt, not computed again'),
      output_tokens: count('Of the answer'),
    }),
  }),
};
