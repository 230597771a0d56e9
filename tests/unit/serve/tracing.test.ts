import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { tracingOptions } from '../../../ts/cli/traces.js';
import { createServer as createStompServer } from '../../../ts/serve/index.js';
import { traceParent } from '../../../ts/serve/tracing/trace-parent.js';
import { FakeEngine } from './fake-engine.js';
import { hello, start } from './harness.js';

const path = '/v1/chat/completions';
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

/** A value as OTLP has it in JSON. */
interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: number;
  readonly arrayValue?: { readonly values: readonly AnyValue[] };
}

interface Attribute {
  readonly key: string;
  readonly value: AnyValue;
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code: number };
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A collector on a free port. */
async function collector(status = 200): Promise<{ url: string; bodies: OtlpBody[]; paths: string[] }> {
  const bodies: OtlpBody[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    bodies.push(JSON.parse(Buffer.concat(pieces).toString()) as OtlpBody);
    paths.push(request.url ?? '');
    response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
  return { url, bodies, paths };
}

const spansOf = (bodies: readonly OtlpBody[]): OtlpSpan[] =>
  bodies
    .flatMap(({ resourceSpans }) => resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans);

const plain = ({ stringValue, intValue, arrayValue }: AnyValue): unknown =>
  stringValue ?? intValue ?? arrayValue?.values.map(plain);

const attributesOf = (attributes: readonly Attribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));

describe('a traced request', () => {
  it('is a span in the trace of its client, with its phases below', async () => {
    const { url, bodies, paths } = await collector();
    const { post, server, engine, log, port } = await start({ tracing: { url } });
    engine.script = { usage: { cachedTokens: 5, queuedMs: 1, firstTokenMs: 2, totalMs: 3 } };
    const headers = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: 'a=1', 'x-agent-id': 'ann' };
    await (await post(path, { messages: hello, stream: true }, headers)).text();
    await server.close();
    expect(paths).toContain('/v1/traces');
    const spans = spansOf(bodies);
    const root = spans.find(({ name }) => name === `POST ${path}`);
    expect(root).toMatchObject({ traceId, parentSpanId: spanId, kind: 2, status: { code: 0 } });
    expect(attributesOf(root?.attributes ?? [])).toEqual({
      'http.request.method': 'POST',
      'http.route': path,
      'http.response.status_code': 200,
      'url.scheme': 'http',
      'network.protocol.version': '1.1',
      'server.address': '127.0.0.1',
      'server.port': port,
      'gen_ai.agent.id': 'ann',
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'stomp-serve',
      'gen_ai.request.model': 'tiny',
      'gen_ai.response.model': 'tiny',
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.usage.input_tokens': 7,
      'gen_ai.usage.output_tokens': 3,
      'gen_ai.usage.cache_read.input_tokens': 5,
    });
    const children = spans.filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    expect(children.map(({ name }) => name)).toEqual(['queue', 'prefill', 'decode']);
    for (const child of children) {
      expect(child.traceId).toBe(traceId);
      expect(BigInt(child.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(root?.startTimeUnixNano ?? 0));
      expect(BigInt(child.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(child.startTimeUnixNano));
      expect(BigInt(child.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(root?.endTimeUnixNano ?? 0));
    }
    const resource = bodies[0]?.resourceSpans[0]?.resource.attributes ?? [];
    expect(attributesOf(resource)).toMatchObject({ 'service.name': 'stomp-serve' });
    expect(log.find(({ msg }) => msg === 'request')).toMatchObject({ traceId });
  });

  it('says how it failed, and whose fault that was', async () => {
    const { url, bodies } = await collector();
    const { post, get, server, engine } = await start({ tracing: { url } });
    await post(path, { messages: hello, nonsense: 3 });
    engine.script = { refusal: new Error('broken') as never };
    await post(path, { messages: hello });
    await get('/v1/nowhere');
    await get('/v1/models', { host: 'evil.example', origin: 'http://evil.example' });
    await server.close();
    const told = spansOf(bodies).map(({ name, status, attributes }) => {
      const { 'http.response.status_code': code, 'error.type': error } = attributesOf(attributes);
      return [name, code, error, status.code];
    });
    expect(told).toEqual([
      [`POST ${path}`, 400, '400', 0],
      [`POST ${path}`, 500, 'GENERATION_FAILED', 2],
      ['GET', 404, '404', 0],
      ['GET /v1/models', 403, '403', 0],
    ]);
  });

  it('is not traced when its client says so, nor when somebody only looks whether the server lives', async () => {
    const { url, bodies } = await collector();
    const { post, get, server } = await start({ tracing: { url } });
    await post(path, { messages: hello }, { traceparent: `00-${traceId}-${spanId}-00` });
    await get('/health/live');
    await get('/metrics');
    await server.close();
    expect(spansOf(bodies)).toEqual([]);
  });

  it('holds nothing of what was said', async () => {
    const { url, bodies } = await collector();
    const { post, get, server, engine } = await start({ tracing: { url } });
    engine.script = { tokens: ['xyzzy'] };
    await post(path, { messages: [{ role: 'user', content: 'xyzzy' }] });
    await get('/v1/models/xyzzy?q=xyzzy');
    await server.close();
    expect(spansOf(bodies).length).toBeGreaterThan(1);
    expect(JSON.stringify(bodies)).not.toContain('xyzzy');
  });
});

describe('a collector', () => {
  it('that fails harms no request', async () => {
    const { url, bodies } = await collector(500);
    const { post, server } = await start({ tracing: { url } });
    expect((await post(path, { messages: hello })).status).toBe(200);
    await server.close();
    expect(bodies.length).toBeGreaterThan(0);
  });

  it('that never answers does not keep the server from stopping', async () => {
    const hole = createTcpServer().listen(0, '127.0.0.1');
    await once(hole, 'listening');
    const url = `http://127.0.0.1:${(hole.address() as AddressInfo).port}/v1/traces`;
    const { post, server } = await start({ tracing: { url } });
    expect((await post(path, { messages: hello })).status).toBe(200);
    const began = performance.now();
    await server.close();
    expect(performance.now() - began).toBeLessThan(15_000);
    hole.close();
  });

  it.each(['', 'localhost:4318', 'ftp://localhost', 'http://'])('is not %j', async (url) => {
    expect(() => createStompServer(new FakeEngine(), { tracing: { url } })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
  });

  it('is named by the settings, else by the variables of OpenTelemetry', () => {
    const url = (otlpEndpoint: string | undefined, env: NodeJS.ProcessEnv) =>
      tracingOptions({ otlpEndpoint }, env).tracing?.url;
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://b:4318/' };
    expect(url(undefined, {})).toBeUndefined();
    expect(url('http://a:1', endpoint)).toBe('http://a:1/v1/traces');
    expect(url(undefined, endpoint)).toBe('http://b:4318/v1/traces');
    expect(url(undefined, { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c/x' })).toBe(
      'http://c/x',
    );
    expect(url(undefined, { ...endpoint, OTEL_SDK_DISABLED: 'true' })).toBeUndefined();
    expect(() => url('nonsense', {})).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});

describe('the trace of a client', () => {
  it.each([
    `00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-ff`,
    `cc-${traceId}-${spanId}-01`,
    `cc-${traceId}-${spanId}-01-more`,
  ])('is read from %s', (header) => {
    expect(traceParent({ traceparent: header })).toMatchObject({ traceId, spanId });
  });

  it.each([
    '',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-1`,
  ])('is not read from %j', (header) => {
    expect(traceParent({ traceparent: header })).toBeUndefined();
  });

  it('is not read from anything else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (header) => {
        expect(traceParent({ traceparent: header, tracestate: header })).toBeUndefined();
      }),
    );
  });
});
