/**
 * Whatever is sent, the answer is a success or an error of ours, below 500. STOMP_TEST_SCALE multiplies the
 * number of requests.
 */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { isStompErrorCode } from '../../../ts/errors.js';
import { openGuard } from '../guard/open-guard.js';
import { hello, type Running, start } from './harness.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const numRuns = Math.round(150 * scale);
vi.setConfig({ testTimeout: 20_000 * Math.max(1, scale) });

/** What clients of each path send, and their misspellings. */
const routes: Readonly<Record<string, readonly string[]>> = {
  '/v1/chat/completions': [
    ...[
      'messages',
      'model',
      'session_id',
      'max_tokens',
      'max_completion_tokens',
      'temperature',
      'top_p',
      'top_k',
    ],
    ...[
      'min_p',
      'seed',
      'stop',
      'ignore_eos',
      'cache_salt',
      'stream',
      'stream_options',
      'user',
      'metadata',
      'store',
    ],
    ...[
      'tools',
      'tool_choice',
      'parallel_tool_calls',
      'functions',
      'function_call',
      'response_format',
      'n',
      'audio',
    ],
    ...[
      'logprobs',
      'top_logprobs',
      'logit_bias',
      'presence_penalty',
      'frequency_penalty',
      'reasoning_effort',
    ],
    ...[
      'service_tier',
      'prediction',
      'modalities',
      'safety_identifier',
      'messagess',
      '__proto__',
      'constructor',
    ],
  ],
  '/v1/agents/ann/generate': [
    ...[
      'message',
      'messages',
      'prompt',
      'system',
      'model',
      'stream',
      'max_tokens',
      'temperature',
      'top_p',
      'stop',
    ],
    ...['seed', 'ignore_eos', 'cache_salt', 'toString'],
  ],
  '/v1/agents/ann/fork': ['agent_id', 'id'],
  '/v1/agents/ann/save': ['x'],
  '/v1/agents/ann/evict': ['x'],
  '/v1/locks': ['resources', 'keys', 'ttl_ms', 'max_wait_ms', 'resource_class', 'identifier'],
  '/v1/locks/renew': ['resource_key', 'fencing_token', 'ttl_ms'],
  '/v1/locks/release': ['resource_key', 'fencing_token'],
  '/v1/tools/fs_read': ['path', 'offset', 'limit'],
  '/mcp': ['jsonrpc', 'id', 'method', 'params'],
};

const oddText = fc.constantFrom(
  '',
  '\ud800',
  'a\udc00b',
  '\0',
  '\u2028',
  '../../etc',
  '__proto__',
  'x'.repeat(10_000),
);
const oddNumber = fc.constantFrom(-0, 1e308, -1e308, 5e-324, 2 ** 53, -(2 ** 63), 0.1, -1, 0, 1, 16, 4096);
const sane = fc.constantFrom<unknown>(hello, 'tiny', true, { type: 'text' }, [], {}, 'a', ['stop']);
const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), oddText, oddNumber, sane);
const message = fc.oneof(
  value,
  fc.record(
    {
      role: fc.oneof(fc.constantFrom('system', 'user', 'assistant', 'tool', 'developer'), value),
      content: fc.oneof(
        fc.string(),
        fc.array(fc.record({ type: fc.constantFrom('text', 'image_url'), text: value })),
        value,
      ),
      tool_calls: value,
      tool_call_id: value,
      name: value,
    },
    { requiredKeys: [] },
  ),
);

function bodyOf(fields: readonly string[]): fc.Arbitrary<unknown> {
  const name = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...fields) },
    { weight: 1, arbitrary: fc.string() },
  );
  const anyField = fc.dictionary(name, value, { maxKeys: 6 });
  const chat = fc
    .tuple(anyField, fc.array(message, { maxLength: 4 }))
    .map(([rest, messages]) => ({ ...rest, messages }));
  const nearly = fc
    .tuple(fc.constantFrom(...fields), value)
    .map(([field, odd]) => ({ messages: hello, [field]: odd }));
  return fc.oneof(anyField, chat, nearly, value);
}

async function check(running: Running, path: string, body: string | Uint8Array): Promise<void> {
  const response = await fetch(running.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  if (response.status < 400 || path === '/mcp') return;
  const { error } = JSON.parse(text) as { error: { code: string; message: string } };
  expect(isStompErrorCode(error.code)).toBe(true);
  expect(error.message).not.toBe('');
}

describe('a body of any shape is answered, or refused by us', () => {
  it.each(Object.entries(routes))('%s', async (path, fields) => {
    const running = await start({ guard: await openGuard() });
    await running.post('/v1/agents/ann/generate', { message: 'Hi' });
    const property = fc.asyncProperty(bodyOf(fields), (body) => check(running, path, JSON.stringify(body)));
    await fc.assert(property, { numRuns });
    expect(running.server.runningTurns).toBe(0);
  });
});

it('bytes that are no JSON are refused', async () => {
  const running = await start();
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.json(), fc.nat()).map(([json, at]) => json.slice(0, at % (json.length + 1))),
    fc.constantFrom(
      '{"messages":1e999}',
      '{"a":01}',
      '{"a":1,"a":2}',
      "{'a':1}",
      'NaN',
      '\ufeff{}',
      '{"a":"\ud800"}',
    ),
    fc.integer({ min: 1, max: 100_000 }).map((depth) => '[{"a":'.repeat(depth)),
    fc
      .integer({ min: 65, max: 1000 })
      .map((depth) => `{"messages":${'['.repeat(depth)}${']'.repeat(depth)}}`),
  );
  const property = fc.asyncProperty(text, (body) => check(running, '/v1/chat/completions', body));
  await fc.assert(property, { numRuns });
  expect(running.engine.calls).toEqual([]);
});

it('paths and headers of any text do no harm', async () => {
  const running = await start();
  const segment = fc.oneof(
    fc.string({ unit: 'binary' }).map(encode),
    fc.constantFrom('..', '%2e%2e', '%00', '%ff', 'a%2Fb', ''),
  );
  // What the client of the test lets out; the rest is sent over bare sockets elsewhere.
  const visible = fc.integer({ min: 0x20, max: 0xff }).filter((c) => c !== 0x7f);
  const headerValue = fc.string({ unit: visible.map((c) => String.fromCharCode(c)) });
  const name = fc.constantFrom(
    'x-agent-id',
    'x-session-id',
    'x-request-id',
    'authorization',
    'x-api-key',
    'if-match',
  );
  const property = fc.asyncProperty(
    fc.array(segment, { maxLength: 4 }),
    name,
    headerValue,
    async (path, header, text) => {
      const method = { method: path.length % 2 === 0 ? 'GET' : 'DELETE' };
      const response = await fetch(`${running.url}/v1/agents/${path.join('/')}`, {
        ...method,
        headers: { [header]: text },
      });
      expect(response.status).toBeLessThan(500);
      await response.text();
    },
  );
  await fc.assert(property, { numRuns });
});

function encode(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/g, ''));
}
