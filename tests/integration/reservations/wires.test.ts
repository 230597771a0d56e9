/** Agents of one repository on different wires, and on servers of their own. */
import { PassThrough } from 'node:stream';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serveStdio, Toolbox } from '../../../ts/mcp/index.js';
import { McpSession } from '../../../ts/mcp/session.js';
import { Reservations, reservationTools } from '../../../ts/reservations/index.js';
import { startPostgres } from '../../servers/postgres.js';
import { openGuard } from '../../unit/guard/open-guard.js';
import { type Running, start, until } from '../../unit/serve/harness.js';
import { TestRepository } from './repositories.js';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

let repository: TestRepository;
beforeEach(() => {
  repository = new TestRepository();
  repository.commit({
    'src/tax.ts': 'export function rate(): number {\n  return 0.19;\n}\n',
    'src/shop.ts':
      "import { rate } from './tax.js';\n\nexport function total(net: number): number {\n  return net * rate();\n}\n",
  });
});

async function open(options: object = {}): Promise<Reservations> {
  const reservations = await Reservations.open({ folder: repository.folder, ...options });
  closers.push(() => reservations.close());
  return reservations;
}

async function serve(reservations: Reservations): Promise<Running> {
  const running = await start({ reservations });
  closers.push(() => Promise.all([running.server.close(), running.server.close()]));
  return running;
}

function toolsOf(reservations: Reservations): Toolbox {
  return new Toolbox([reservationTools(reservations)], {
    onFault: ({ error }) => {
      throw error;
    },
  });
}

type Transport = Parameters<Client['connect']>[0];

async function connect(transport: Transport) {
  const client = new Client({ name: 'Some Client', version: '1' });
  closers.push(() => client.close());
  await client.connect(transport);
  return {
    client,
    call: async (name: string, args: object = {}) =>
      (await client.callTool({ name, arguments: { ...args } })) as CallToolResult,
  };
}

const overHttp = (url: string, agent: string) =>
  new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { 'x-agent-id': agent } },
  }) as Transport;

const wish = { addresses: ['src/tax.ts::rate'], branch: 'feat/x' };

describe('an agent over HTTP and one over MCP', () => {
  it('see each other, and how their symbols meet', async () => {
    const { url, post } = await serve(await open());
    const bob = await connect(overHttp(url, 'bob'));
    expect(bob.client.getInstructions()).toContain('reserve_symbols');
    expect(bob.client.getServerVersion()?.title).toContain('reservations');
    expect((await post('/v1/reservations', { ...wish, run_id: 'ann' })).status).toBe(201);
    const refused = await bob.call('reserve_symbols', { ...wish, branch: 'feat/y', if_free: true });
    expect(refused).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'RESERVATION_CONFLICT', holders: [{ run_id: 'ann' }] } },
    });
    const made = await bob.call('reserve', {
      addresses: ['src/shop.ts::total'],
      branch: 'feat/y',
      forecast: true,
    });
    expect(made.structuredContent).toMatchObject({
      run_id: 'bob',
      conflicts: [
        {
          conflict_type: 'blast_radius_overlap',
          call_path: ['src/shop.ts::total', 'src/tax.ts::rate'],
        },
      ],
    });
    const listed = (await (await fetch(`${url}/v1/reservations`)).json()) as { reservations: object[] };
    expect(listed.reservations).toMatchObject([{ run_id: 'ann' }, { run_id: 'bob' }]);
  });

  it('wait for each other; a server that shuts down waits for neither', async () => {
    const { url, post, server } = await serve(await open());
    const bob = await connect(overHttp(url, 'bob'));
    await post('/v1/reservations', { ...wish, run_id: 'ann' });
    const waiting = bob.call('await_symbols', { ...wish, branch: 'feat/y' });
    await until(() => server.runningTurns === 1, 'it waits');
    const began = performance.now();
    await server.close();
    expect(performance.now() - began).toBeLessThan(5000);
    expect(await waiting).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'SHUTTING_DOWN' } },
    });
  });
});

describe('MCP without a server', () => {
  it('tells an agent that says no name to say one, and works for one that does', async () => {
    const [here, there] = InMemoryTransport.createLinkedPair();
    const session = new McpSession({
      tools: toolsOf(await open()),
      id: 'connection',
      onError: (error) => {
        throw error;
      },
    });
    closers.push(() => session.close());
    await session.connect(there as Parameters<McpSession['connect']>[0]);
    const { client, call } = await connect(here as Transport);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual([
      'reserve_symbols',
      'declare_intent',
      'release_reservation',
      'renew_reservation',
      'list_reservations',
      'await_symbols',
      'archive_reservations',
      'forecast_conflicts',
      'symbol_impact',
      'shard_repository',
      'plan_merge',
      'reconcile_branches',
    ]);
    expect(await call('reserve_symbols', wish)).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'INVALID_REQUEST', field: 'run_id' } },
    });
    const made = await call('reserve_symbols', { ...wish, run_id: 'ann' });
    const { reservation_id } = made.structuredContent as { reservation_id: string };
    const released = await call('release_reservation', { reservation_id, run_id: 'ann' });
    expect(released.structuredContent).toHaveProperty('released_at');
  });

  it('ends a wait over standard input and output when the client goes', async () => {
    const reservations = await open();
    await reservations.reserve({ runId: 'ann', branch: 'x', addresses: ['src/tax.ts'] });
    const input = new PassThrough();
    const server = await serveStdio({
      tools: toolsOf(reservations),
      input,
      output: new PassThrough().resume(),
    });
    const say = (message: object) => input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    const clientInfo = { name: 'x', version: '1' };
    const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };
    say({ id: 0, method: 'initialize', params });
    say({ id: 1, method: 'tools/call', params: { name: 'await_symbols', arguments: wish } });
    input.end();
    await server.closed;
  });
});

describe('two servers on one PostgreSQL database', () => {
  it('share their reservations; of two agents that ask at once, one gets a symbol', async () => {
    const postgres = await startPostgres();
    closers.push(() => postgres.close());
    const servers = [];
    for (let i = 0; i < 2; i++)
      servers.push(await serve(await open({ database: postgres.url, name: 'shop' })));
    const [one, other] = servers as [Running, Running];
    const answers = await Promise.all(
      servers.map(({ post }, i) =>
        post('/v1/reservations', { ...wish, run_id: `agent-${i}`, if_free: true }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    const [winner] = answers.filter(({ status }) => status === 201);
    const { run_id, reservation_id } = (await (winner as Response).json()) as Record<string, string>;
    const waiting = other.post('/v1/reservations/await', { ...wish, run_id: 'late' });
    await until(() => other.server.runningTurns === 1, 'it waits');
    const released = await fetch(`${one.url}/v1/reservations/${reservation_id}`, {
      method: 'DELETE',
      headers: { 'x-agent-id': run_id ?? '' },
    });
    expect(released.status).toBe(200);
    expect((await waiting).status).toBe(200);
  });
});

describe('a reservation that locks', () => {
  it('keeps others out through the guard of the same server, until it is released', async () => {
    const { maasl, files } = await openGuard();
    const reservations = await open({ guard: maasl });
    const { url, post } = await start({ reservations, guard: { maasl, files } });
    const lock = { ...wish, lock: true };
    const made = await post('/v1/reservations', lock, { 'x-agent-id': 'ann', 'x-session-id': 'ann-1' });
    const { reservation_id, leases } = (await made.json()) as { reservation_id: string; leases: object };
    expect([made.status, Object.keys(leases)]).toEqual([201, [expect.stringContaining('src/tax.ts')]]);
    const held = (await (await fetch(`${url}/v1/locks`)).json()) as { locks: object[] };
    expect(held.locks).toMatchObject([{ resource_key: Object.keys(leases)[0] }]);
    const refused = await post('/v1/reservations', { ...lock, run_id: 'bob', branch: 'feat/y' });
    expect([refused.status, await refused.json()]).toMatchObject([409, { error: { code: 'RESOURCE_BUSY' } }]);
    const headers = { 'x-agent-id': 'ann' };
    await fetch(`${url}/v1/reservations/${reservation_id}`, { method: 'DELETE', headers });
    expect((await (await fetch(`${url}/v1/locks`)).json()) as object).toMatchObject({ locks: [] });
  });
});

describe('the OpenAPI document', () => {
  it('describes every path that there is, and no other', async () => {
    const { server, get } = await serve(await open());
    const { paths } = (await (await get('/openapi.json')).json()) as { paths: Record<string, object> };
    const described = Object.entries(paths).map(([path, methods]) => [path, Object.keys(methods).sort()]);
    const there = [...server.app.resources].map(([path, methods]) => [
      path.replaceAll(/:(\w+)/g, '{$1}').replace('/models/*', '/models/{model}'),
      methods.map((method) => method.toLowerCase()).sort(),
    ]);
    expect(described.sort()).toEqual(there.sort());
  });

  it('describes every answer of these paths as it is', async () => {
    const { url, post, get } = await serve(await open());
    repository.branch('feat/a', { 'src/tax.ts': 'export function rate(): number {\n  return 0.2;\n}\n' });
    repository.branch('feat/b', { 'src/tax.ts': 'export function rate(): number {\n  return 0.1;\n}\n' });
    const doc = (await (await get('/openapi.json')).json()) as {
      paths: Record<string, Record<string, { responses: Record<string, { content: object }> }>>;
    };
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    ajv.addSchema(doc, 'doc');
    const check = async (method: string, path: string, response: Response) => {
      const part = (text: string) => text.replaceAll('~', '~0').replaceAll('/', '~1');
      const where = `#/paths/${part(path)}/${method}/responses/${response.status}/content/application~1json/schema`;
      const body = (await response.json()) as Record<string, string>;
      const isRight = ajv.validate({ $ref: `doc${encodeURI(where)}` }, body);
      expect(isRight, `${method} ${path}: ${ajv.errorsText()} in ${JSON.stringify(body)}`).toBe(true);
      return body;
    };
    const reserve = (run_id: string, more: object = {}) =>
      post('/v1/reservations', { ...wish, branch: `feat/${run_id}`, run_id, ...more });
    const { reservation_id: id } = await check('post', '/v1/reservations', await reserve('a'));
    await check('post', '/v1/reservations', await reserve('b', { forecast: true, operation: 'rename' }));
    await check('post', '/v1/reservations', await reserve('c', { if_free: true }));
    const intent = { run_id: 'a', branch: 'feat/a', reservation_id: id, operation: 'delete' };
    await check('post', '/v1/intents', await post('/v1/intents', intent));
    for (const [path, query] of [
      ['/v1/reservations', ''],
      ['/v1/intents', ''],
      ['/v1/forecast', ''],
      ['/v1/merge-plan', '?ours=feat/a&theirs=feat/b&content=true'],
      ['/v1/shards', '?count=2'],
      ['/v1/impact', '?address=src/tax.ts::rate'],
    ] as const)
      await check('get', path, await get(path + query));
    const one = '/v1/reservations/{id}';
    await check('get', one, await get(`/v1/reservations/${id}`));
    await check('post', `${one}/renew`, await post(`/v1/reservations/${id}/renew`, { run_id: 'a' }));
    const pathOf = `${url}/v1/reservations/${id}`;
    const header = { 'x-agent-id': 'a' };
    await check('delete', one, await fetch(pathOf, { method: 'DELETE', headers: header }));
    const free = { addresses: ['src/shop.ts'] };
    await check('post', '/v1/reservations/await', await post('/v1/reservations/await', free));
    await check('post', '/v1/reservations/archive', await post('/v1/reservations/archive', {}));
    await check('post', '/v1/reconcile', await post('/v1/reconcile', {}));
    await check('post', '/v1/merge-plan', await post('/v1/merge-plan', { ours: 'main', theirs: 'feat/a' }));
    await check('post', '/v1/impact', await post('/v1/impact', { addresses: ['src/tax.ts::rate'] }));
  });
});
