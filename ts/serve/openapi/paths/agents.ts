/** `/v1/agents`: agents of the engine. */
import { inPath, type PathGroup } from '../operation.js';
import { choice, flag, integer, list, number, object, ref, request, type Schema, text } from '../shapes.js';
import { formMembers, messages, reasoningMembers, samplingMembers } from './openai-request.js';

const agent = inPath('id', 'Of the agent', {
  type: 'string',
  pattern: '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$',
});
const name = text('Of an agent', { pattern: '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$' });
const one = { 200: { description: 'The agent', schema: ref('Agent') } };
const nothing = object({}, { additionalProperties: false });
const tokens = (what: string): Schema => integer(what, { minimum: 0 });

const action = (summary: string, errors: readonly number[]) => ({
  summary,
  parameters: [agent],
  body: nothing,
  bodyOptional: true,
  answers: one,
  errors: [404, ...errors],
});

export const agentPaths: PathGroup = {
  tag: 'agents',
  description: 'Agents of the engine and what their caches hold',
  errorShape: 'Error',
  paths: {
    '/v1/agents': {
      get: {
        summary: 'List the agents in memory and on disk',
        answers: {
          200: {
            description: 'The agents',
            schema: object({ object: text('list'), data: list(ref('Agent')) }),
          },
        },
      },
      post: {
        summary: 'Make an agent',
        description: 'Nothing is computed before its first turn, which goes on from `messages`.',
        body: request({
          agent_id: name,
          'system?': text('System prompt, before `messages`'),
          'messages?': messages,
        }),
        answers: { 201: { description: 'The new agent', schema: ref('Agent') } },
        errors: [409, 413],
      },
    },
    '/v1/agents/{id}': {
      get: { summary: 'Show an agent', parameters: [agent], answers: one, errors: [404] },
      delete: {
        summary: 'Delete an agent and its cache',
        description:
          'Its turns, waiting ones too, end with 404 `AGENT_NOT_FOUND`; a stream that has begun ends with that error.',
        parameters: [agent],
        answers: {
          200: {
            description: 'It is gone',
            schema: object({ agent_id: name, deleted: flag('Always true') }),
          },
        },
        errors: [404],
      },
    },
    '/v1/agents/{id}/generate': {
      post: {
        summary: 'Take a turn of an agent',
        description: 'Exactly one of `message`, `messages` and `prompt`.',
        parameters: [agent],
        body: request({
          'message?': text('The next thing the user says; the agent remembers the rest'),
          'system?': text('System prompt of a conversation that begins with `message`'),
          'messages?': messages,
          'prompt?': text('Raw text, without a chat template'),
          'model?': text('A name of the model that is loaded'),
          'stream?': flag('As server-sent events'),
          ...samplingMembers,
          ...formMembers,
          ...reasoningMembers,
          'logprobs?': flag('Log-probabilities of the tokens'),
          'top_logprobs?': integer('Of the likeliest, beside each', { minimum: 0, maximum: 20 }),
        }),
        answers: {
          200: {
            description: 'The answer',
            schema: ref('AgentAnswer'),
            events: 'Pieces of the answer, usage last',
          },
        },
        errors: [404, 413],
      },
    },
    '/v1/agents/{id}/fork': {
      post: {
        summary: 'Make a second agent that knows all this one knows',
        parameters: [agent],
        body: object({ agent_id: name }, { additionalProperties: false }),
        answers: {
          201: { description: 'The new agent', schema: object({ agent_id: name, forked_from: name }) },
        },
        errors: [404, 409],
      },
    },
    '/v1/agents/{id}/load': { post: action('Bring an agent from disk into memory', [409]) },
    '/v1/agents/{id}/save': { post: action('Write an agent to disk', [507]) },
    '/v1/agents/{id}/evict': { post: action('Move an agent to disk', [507]) },
  },
};

export const agentSchemas: Readonly<Record<string, Schema>> = {
  Agent: object({
    agent_id: name,
    tier: choice('Where its cache is', 'active', 'hot', 'warm', 'cold'),
    tokens: tokens('In its cache'),
    blocks: tokens('Of the pool'),
    pool_bytes: tokens('Of memory; shared blocks count in full'),
    disk_bytes: tokens('Of its file'),
    saved: flag('The disk holds all that the memory holds'),
    last_used: text('When its last turn ended', { format: 'date-time' }),
    requests: tokens('Turns so far'),
    prompt_tokens: tokens('Of its prompts so far'),
    cached_tokens: tokens('Of those, not computed again'),
    hit_rate: number('cached_tokens / prompt_tokens', { minimum: 0, maximum: 1 }),
  }),
};
