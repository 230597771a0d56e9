/** Members of OpenAI's requests, as they are served. */
import { anyOf, choice, flag, integer, list, number, type Schema, sent, text } from '../shapes.js';

const stop = text('Ends the answer', { minLength: 1, maxLength: 1024 });
const penalty = (what: string): Schema => number(what, { minimum: -2, maximum: 2 });

/** How tokens are chosen; the same for every route that generates. */
export const samplingMembers: Readonly<Record<string, Schema>> = {
  'max_tokens?': integer('Longest answer', { minimum: 1, maximum: 16_777_216 }),
  'temperature?': number('0 takes the likeliest token', { minimum: 0, maximum: 2, default: 0 }),
  'top_p?': number('Of the likeliest tokens that sum to this', { exclusiveMinimum: 0, maximum: 1 }),
  'top_k?': integer('Of so many likeliest tokens; 0: all', { minimum: 0, maximum: 1_000_000 }),
  'min_p?': number('None less likely than this share of the likeliest', { minimum: 0, maximum: 1 }),
  'repetition_penalty?': number('Makes what was there less likely', { minimum: 0.1, maximum: 10 }),
  'presence_penalty?': penalty('Makes what the answer holds less likely'),
  'frequency_penalty?': penalty('Makes it less likely the more often the answer holds it'),
  'logit_bias?': sent(
    {},
    {
      description: 'Token ids, and what is added to their logits',
      patternProperties: { '^[0-9]+$': number('', { minimum: -100, maximum: 100 }) },
      additionalProperties: false,
    },
  ),
  'seed?': integer('The same gives the same answer', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  'stop?': anyOf(stop, list(stop, { maxItems: 16 })),
  'ignore_eos?': flag("Do not end at the model's own end tokens"),
  'cache_salt?': text('Caches are shared only under one salt', { maxLength: 256 }),
  'priority?': choice('Whose turn it is where not all can run', 'high', 'normal', 'low'),
};

const name = text('Of a tool', { pattern: '^[A-Za-z0-9_.-]{1,128}$' });
const parts = list(
  sent({ type: { const: 'text' }, text: text('Of the part') }, { additionalProperties: false }),
  {
    minItems: 1,
  },
);
const content = anyOf(text('Of the message'), parts);

const toolCall = sent({
  id: text('Names the call'),
  type: { const: 'function' },
  function: sent({ name, arguments: text('JSON text') }),
});

export const messages = list(
  anyOf(
    sent({
      role: choice('Who speaks', 'system', 'developer', 'user'),
      content,
      'name?': text('Who speaks'),
    }),
    sent({
      role: { const: 'assistant' },
      'content?': anyOf(content, { type: 'null' }),
      'reasoning_content?': anyOf(text('What it thought'), { type: 'null' }),
      'tool_calls?': list(toolCall, { minItems: 1 }),
    }),
    sent({ role: { const: 'tool' }, tool_call_id: text('The call that it answers'), content }),
  ),
  { minItems: 1, maxItems: 10_000 },
);

const tool = sent({
  type: { const: 'function' },
  function: sent(
    {
      name,
      'description?': text('What it does'),
      'parameters?': sent({}, { description: 'JSON Schema of the arguments' }),
      'strict?': anyOf(flag('Hold the arguments to the schema'), { type: 'null' }),
    },
    { additionalProperties: false },
  ),
});

const named = sent({ type: { const: 'function' }, function: sent({ name }) });

/** Thoughts before an answer. */
export const reasoningMembers: Readonly<Record<string, Schema>> = {
  'reasoning_effort?': choice(
    'Whether to think first',
    'none',
    'minimal',
    'low',
    'medium',
    'high',
    'xhigh',
    'max',
  ),
  'reasoning_budget_tokens?': integer('Thoughts end after so many', { minimum: 1, maximum: 16_777_216 }),
};

/** Tools and forms. */
export const formMembers: Readonly<Record<string, Schema>> = {
  'tools?': list(tool, { maxItems: 512 }),
  'tool_choice?': anyOf(
    choice('Whether to call', 'none', 'auto', 'required'),
    named,
    sent({
      type: { const: 'allowed_tools' },
      allowed_tools: sent({
        mode: choice('Whether to call one of them', 'auto', 'required'),
        tools: list(named, { minItems: 1 }),
      }),
    }),
  ),
  'parallel_tool_calls?': flag('More than one call in an answer'),
  'response_format?': anyOf(
    sent({ type: choice('Free text, or any JSON object', 'text', 'json_object') }),
    sent({
      type: { const: 'json_schema' },
      json_schema: sent({
        name: text('Of the schema', { pattern: '^[A-Za-z0-9_-]{1,64}$' }),
        'description?': text('What it is for'),
        schema: sent({}, { description: 'JSON Schema' }),
        'strict?': anyOf(flag('Always held to'), { type: 'null' }),
      }),
    }),
  ),
};
