/** OpenAI's API: chat, completions, models. */
import { inPath, type PathGroup } from '../operation.js';
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
  text,
} from '../shapes.js';
import { formMembers, messages, reasoningMembers, samplingMembers } from './openai-request.js';
import { whose } from './whose.js';

const common: Readonly<Record<string, Schema>> = {
  'model?': text('A name of the model that is loaded; the one there is when left out'),
  'stream?': flag('As server-sent events'),
  'stream_options?': object(
    {
      'include_usage?': nullable(flag('Usage in a last chunk')),
      'include_obfuscation?': nullable(
        flag('Chunks are filled up, so that their sizes do not tell their tokens'),
      ),
    },
    { additionalProperties: false },
  ),
  'n?': integer('Answers', { minimum: 1, maximum: 16 }),
  'session_id?': text('The agent is named after it', { pattern: '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$' }),
  'user?': text('Not used'),
  'safety_identifier?': text('Not used'),
};

/** Every prompt is looked up by its content, so these change nothing. */
const cacheHints: Readonly<Record<string, Schema>> = {
  'prompt_cache_key?': text('A hint that is not needed'),
  'prompt_cache_retention?': choice('A hint that is not needed', 'in_memory', 'in-memory', '24h'),
  'prompt_cache_options?': object(
    { 'mode?': choice('Not used', 'implicit', 'explicit'), 'ttl?': text('Not used') },
    { additionalProperties: false },
  ),
};

const token = integer('Id', { minimum: 0 });

export const openaiPaths: PathGroup = {
  tag: 'openai',
  description: "OpenAI's API",
  errorShape: 'Error',
  paths: {
    '/v1/models': {
      get: {
        summary: 'List the models that requests may name',
        answers: {
          200: {
            description: 'The models',
            schema: object({ object: text('list'), data: list(ref('Model')) }),
          },
        },
      },
    },
    '/v1/models/{model}': {
      get: {
        summary: 'Show a model',
        parameters: [inPath('model', 'A name of the model')],
        answers: { 200: { description: 'The model', schema: ref('Model') } },
        errors: [404],
      },
    },
    '/v1/chat/completions': {
      post: {
        summary: 'Answer a conversation',
        description: 'Members of the protocol that are not listed are refused by name.',
        parameters: whose,
        body: request({
          messages,
          ...common,
          ...samplingMembers,
          'max_completion_tokens?': integer('max_tokens, by its newer name', {
            minimum: 1,
            maximum: 16_777_216,
          }),
          ...formMembers,
          'logprobs?': flag('Log-probabilities of the tokens'),
          'top_logprobs?': integer('Of the likeliest, beside each', { minimum: 0, maximum: 20 }),
          ...reasoningMembers,
          ...cacheHints,
        }),
        answers: {
          200: {
            description: 'The answer',
            schema: ref('ChatCompletion'),
            events: 'chat.completion.chunk objects, then [DONE]',
          },
        },
        errors: [404],
      },
    },
    '/v1/completions': {
      post: {
        summary: 'Continue a text',
        parameters: whose,
        body: request({
          prompt: anyOf(
            text('The text'),
            list(text('A text'), { minItems: 1 }),
            list(token, { minItems: 1 }),
            list(list(token, { minItems: 1 }), { minItems: 1 }),
          ),
          ...common,
          ...samplingMembers,
          'echo?': flag('The prompt before the answer'),
          'logprobs?': integer('Of the likeliest, beside each token', { minimum: 0, maximum: 5 }),
          'best_of?': integer('No other than n', { minimum: 1, maximum: 16 }),
        }),
        answers: {
          200: {
            description: 'The answer',
            schema: ref('Completion'),
            events: 'text_completion objects, then [DONE]',
          },
        },
        errors: [404],
      },
    },
  },
};

const count = (what: string): Schema => integer(what, { minimum: 0 });
const finish = nullable(choice('Why it ended', 'stop', 'length', 'tool_calls', 'content_filter'));

export const openaiSchemas: Readonly<Record<string, Schema>> = {
  Model: object({
    id: text('Its name'),
    object: { const: 'model' },
    created: integer('Unix time in seconds'),
    owned_by: text('stomp-serve'),
  }),
  Usage: object({
    prompt_tokens: count('Of the prompt'),
    completion_tokens: count('Of the answers'),
    total_tokens: count('Of both'),
    prompt_tokens_details: object({
      cached_tokens: count('Of the prompt, not computed again'),
      computed_tokens: count('Of the prompt, computed'),
      miss_reason: nullable(text('Why less was cached than hoped')),
    }),
  }),
  ChatCompletion: object({
    id: text('Names the answer'),
    object: { const: 'chat.completion' },
    created: integer('Unix time in seconds'),
    model: text('Its name'),
    agent_id: text('Whose turn it was'),
    choices: list(
      object({
        index: count('From 0'),
        message: object({
          role: { const: 'assistant' },
          content: nullable(text('The answer')),
          'reasoning_content?': nullable(text('What it thought first')),
          'tool_calls?': list(object({ id: text('Of the call'), type: { const: 'function' } })),
        }),
        logprobs: nullable(object({})),
        finish_reason: finish,
      }),
    ),
    usage: ref('Usage'),
  }),
  Completion: object({
    id: text('Names the answer'),
    object: { const: 'text_completion' },
    created: integer('Unix time in seconds'),
    model: text('Its name'),
    choices: list(
      object({
        index: count('From 0'),
        text: text('The answer'),
        logprobs: nullable(object({})),
        finish_reason: finish,
      }),
    ),
    usage: ref('Usage'),
  }),
  AgentAnswer: object({
    agent_id: text('Whose turn it was'),
    model: text('Its name'),
    text: text('The answer'),
    finish_reason: choice('Why it ended', 'stop', 'length', 'tool_calls'),
    usage: object({
      prompt_tokens: count('Of the prompt'),
      cached_tokens: count('Of the prompt, not computed again'),
      generated_tokens: count('Of the answer'),
      first_token_ms: number('From the request to its first token'),
      total_ms: number('From the request to the end'),
    }),
  }),
};
