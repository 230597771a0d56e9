import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { hello, start } from './harness.js';

const cases: [path: string, body: object, own: string, theirs: string][] = [
  ['/v1/chat/completions', {}, 'responseFormat.schema/type', 'response_format.json_schema.schema/type'],
  ['/v1/chat/completions', {}, 'logitBias[999]', 'logit_bias[999]'],
  ['/v1/chat/completions', { stream: true }, 'logitBias[999]', 'logit_bias[999]'],
  ['/v1/chat/completions', {}, 'messages[0].content', 'messages[0].content'],
  ['/v1/completions', { messages: undefined, prompt: 'Once' }, 'logitBias[999]', 'logit_bias[999]'],
  ['/v1/agents/ann/generate', {}, 'responseFormat.schema', 'response_format.json_schema.schema'],
  [
    '/v1/messages',
    { model: 'tiny', max_tokens: 1 },
    'responseFormat.schema/a',
    'output_config.format.schema/a',
  ],
  [
    '/v1/messages',
    { model: 'tiny', max_tokens: 1 },
    'tools.a.b.parameters/type',
    'tools.a.b.input_schema/type',
  ],
  ['/v1/messages/count_tokens', { model: 'tiny' }, 'tools.a.parameters/$ref', 'tools.a.input_schema/$ref'],
];

describe('what the engine refuses', () => {
  it.each(cases)('has on %s %o the name that the request gave it: %s', async (path, body, own, theirs) => {
    const { engine, post } = await start();
    const refusal = new StompError('INVALID_REQUEST', `"${own}" must be something else.`, {
      fields: { field: own, allowed: 'else' },
    });
    engine.script = { failAt: 0, failure: refusal };
    engine.countTokens = () => Promise.reject(refusal);
    const response = await post(path, { messages: hello, ...body });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', message: `"${theirs}" must be something else.` });
    expect(error.fields ?? error.details).toMatchObject({ field: theirs, allowed: 'else' });
  });
});
