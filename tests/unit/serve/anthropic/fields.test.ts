import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readCountRequest, readMessageRequest } from '../../../../ts/serve/anthropic/message-request.js';
import { errorOf, start } from '../harness.js';
import { base, path, weather } from './wire.js';

/** The names of the fields of an interface in the official client's types. */
function fieldsOf(file: string, name: string): string[] {
  const url = new URL(`../../../../node_modules/@anthropic-ai/sdk/resources/${file}.d.ts`, import.meta.url);
  const [, body] =
    new RegExp(`^export interface ${name} \\{$(.*?)^\\}$`, 'ms').exec(readFileSync(url, 'utf8')) ?? [];
  return [...(body ?? '').matchAll(/^ {4}(\w+)\??:/gm)].map(([, field]) => field as string);
}

const files = { messages: 'messages/messages', beta: 'beta/messages/messages' };

/** A value that is served, for every field that is. */
const served: Readonly<Record<string, unknown>> = {
  max_tokens: 10,
  messages: base.messages,
  model: 'tiny',
  cache_control: { type: 'ephemeral', ttl: '1h' },
  context_management: { edits: [{ type: 'clear_thinking_20251015', keep: { type: 'all' } }] },
  metadata: { user_id: 'ann' },
  output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
  output_format: { type: 'json_schema', schema: { type: 'object' } },
  service_tier: 'standard_only',
  stop_sequences: ['END'],
  stream: false,
  system: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }],
  thinking: { type: 'adaptive' },
  tool_choice: { type: 'auto', disable_parallel_tool_use: true },
  tools: [weather],
};

/** Served beside, though the newest types have them no more. */
const more = { temperature: 1, top_p: 0.9, top_k: 40, seed: 7, cache_salt: 'team' };

/** A value that asks for something, for every field that is refused by name. */
const refused: Readonly<Record<string, unknown>> = {
  betas: ['files-api-2025-04-14'],
  billing_policy: { type: 'billing_policy' },
  compaction: { type: 'summarize' },
  container: 'container_1',
  diagnostics: { previous_message_id: null },
  fallback_credit_token: 'x',
  fallbacks: 'default',
  inference_geo: 'us',
  mcp_servers: [{ type: 'url', name: 'a', url: 'https://a.example' }],
  speed: 'fast',
  thread: { type: 'create' },
  user_profile_id: 'u',
  workspace_id: 'w',
};

/** Values that ask for nothing, as clients send them. */
const neutral: Readonly<Record<string, unknown>> = {
  betas: [],
  fallbacks: [],
  mcp_servers: [],
  speed: 'standard',
  container: null,
  context_management: null,
  cache_control: null,
};

describe("every field of the official client's types", () => {
  it.each([
    ['messages', 'MessageCreateParamsBase', readMessageRequest],
    ['beta', 'MessageCreateParamsBase', readMessageRequest],
    ['messages', 'MessageCountTokensParams', readCountRequest],
    ['beta', 'MessageCountTokensParams', readCountRequest],
  ] as const)('is served or refused by name (%s, %s)', (file, name, read) => {
    const fields = fieldsOf(files[file], name);
    expect(fields.length).toBeGreaterThan(9);
    const { max_tokens: _, ...countable } = base;
    const least = read === readMessageRequest ? base : countable;
    for (const field of fields) {
      if (Object.hasOwn(served, field)) {
        read({ ...least, [field]: served[field] });
      } else {
        const body = { ...least, [field]: refused[field] };
        expect(() => read(body), field).toThrow(
          expect.objectContaining({ code: 'UNSUPPORTED_FIELD', fields: { field } }),
        );
      }
    }
  });

  it('is let through where it asks for nothing', () => {
    for (const [field, value] of Object.entries(neutral)) readMessageRequest({ ...base, [field]: value });
    readMessageRequest({ ...base, ...more });
  });
});

describe('what is asked of the engine', () => {
  it('is the sampling, the tools, the form and the thoughts of the request', async () => {
    const { engine, post } = await start();
    await post(path, {
      ...base,
      ...more,
      stop_sequences: ['END'],
      tools: [{ ...weather, type: 'custom', strict: true, eager_input_streaming: true }],
      tool_choice: { type: 'tool', name: 'get_weather', disable_parallel_tool_use: true },
      thinking: { type: 'enabled', budget_tokens: 20 },
      output_config: { format: { type: 'json_schema', schema: { type: 'object' } } },
    });
    expect(engine.calls[0]?.options).toEqual({
      maxTokens: 100,
      temperature: 1,
      topP: 0.9,
      topK: 40,
      seed: 7,
      cacheSalt: 'team',
      stop: ['END'],
      tools: [
        {
          name: 'get_weather',
          description: 'Weather of a place',
          parameters: weather.input_schema,
          strict: true,
        },
      ],
      toolChoice: { name: 'get_weather' },
      parallelToolCalls: false,
      reasoning: { enabled: true, budgetTokens: 20 },
      responseFormat: { type: 'json_schema', schema: { type: 'object' } },
      signal: expect.any(AbortSignal),
    });
  });

  it.each([
    [undefined, { enabled: false }],
    [{ type: 'disabled' }, { enabled: false }],
    [{ type: 'adaptive' }, undefined],
    [
      { type: 'enabled', budget_tokens: 1024 },
      { enabled: true, budgetTokens: 1024 },
    ],
  ])('for the thinking %j is the reasoning %j', (thinking, reasoning) => {
    expect(readMessageRequest({ ...base, thinking }).options.reasoning).toEqual(reasoning);
  });

  it.each([
    ['auto', 'auto'],
    ['any', 'required'],
    ['none', 'none'],
  ])('for the tool choice %s is %s', (type, toolChoice) => {
    const { options } = readMessageRequest({ ...base, tools: [weather], tool_choice: { type } });
    expect(options.toolChoice).toBe(toolChoice);
  });
});

describe('a request', () => {
  const edit = (inner: object) => ({ context_management: { edits: [inner] } });
  it.each([
    ['model', { model: undefined }],
    ['messages', { messages: undefined }],
    ['messages', { messages: [] }],
    ['max_tokens', { max_tokens: undefined }],
    ['max_tokens', { max_tokens: 1.5 }],
    ['temperature', { temperature: 1.1 }],
    ['top_p', { top_p: 0 }],
    ['stop_sequences', { stop_sequences: [''] }],
    ['stop_sequences', { stop_sequences: 'END' }],
    ['stream', { stream: 'yes' }],
    ['system', { system: 7 }],
    ['metadata.team', { metadata: { team: 'a' } }],
    ['service_tier', { service_tier: 'priority' }],
    ['cache_control.type', { cache_control: {} }],
    ['thinking.type', { thinking: { type: 'sometimes' } }],
    ['thinking.budget_tokens', { thinking: { type: 'enabled' } }],
    ['thinking.budget_tokens', { thinking: { type: 'adaptive', budget_tokens: 5 } }],
    ['output_config.effort', { output_config: { effort: 'huge' } }],
    ['output_config.format.type', { output_config: { format: { type: 'xml' } } }],
    ['output_config.format.schema', { output_config: { format: { type: 'json_schema', schema: 'x' } } }],
    ['tools[0].input_schema', { tools: [{ name: 'a' }] }],
    ['tools', { tool_choice: { type: 'any' } }],
    ['tool_choice.name', { tools: [weather], tool_choice: { type: 'tool', name: 'other' } }],
    ['tool_choice.type', { tools: [weather], tool_choice: { type: 'required' } }],
    ['max_token', { max_token: 5 }],
  ])('with a wrong %s is refused: %j', async (field, part) => {
    const { post } = await start();
    const response = await post(path, { ...base, ...part });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({
      type: 'invalid_request_error',
      code: 'INVALID_REQUEST',
      details: { field },
    });
  });

  it.each([
    ['max_tokens', { max_tokens: 0 }],
    ['thinking.type', { thinking: { type: 'between_tools' } }],
    ['output_config.task_budget', { output_config: { task_budget: { type: 'tokens', total: 1 } } }],
    ['tools[0].type', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ['tools[0].type', { tools: [{ type: 'bash_20250124', name: 'bash' }] }],
    ['tools[0].defer_loading', { tools: [{ ...weather, defer_loading: true }] }],
    ['tools[0].allowed_callers', { tools: [{ ...weather, allowed_callers: ['code_execution_20260120'] }] }],
    ['tools[0].input_examples', { tools: [{ ...weather, input_examples: [{}] }] }],
    ['context_management.edits[0].type', edit({ type: 'clear_tool_uses_20250919' })],
    ['context_management.edits[0].keep', edit({ type: 'clear_thinking_20251015' })],
  ])('that asks for more than is served in %s is refused by name: %j', (field, part) => {
    expect(() => readMessageRequest({ ...base, ...part })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD', fields: expect.objectContaining({ field }) }),
    );
  });
});
