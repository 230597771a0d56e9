/** Sessions and current projects over HTTP. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServedEngine } from '../../../ts/serve/service.js';
import { type OpenContext, openContext } from '../context/open-context.js';
import { FakeEngine } from './fake-engine.js';
import { type Running, start } from './harness.js';

type Body = Record<string, unknown> & { error: Record<string, unknown> };
interface Answer {
  readonly status: number;
  readonly body: Body;
  readonly etag: string | null;
  readonly headers: Headers;
}

let context: OpenContext;
let running: Running;
beforeEach(async () => {
  context = await openContext({ sessionStartsPerMinute: 3 });
  running = await start({ context: context.manager });
  for (const name of ['one', 'two']) await context.manager.createProject({ name });
});

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await fetch(running.url + path, { method, headers: { ...type, ...headers }, ...json });
  const text = await response.text();
  return {
    status: response.status,
    body: (text === '' ? {} : JSON.parse(text)) as Body,
    etag: response.headers.get('etag'),
    headers: response.headers,
  };
}

const project = '/v1/agents/ann/project';

describe('the current project', () => {
  it('is shown with its version as ETag, and not again to whoever has it', async () => {
    const nothing = await ask('GET', project);
    expect([nothing.status, nothing.etag, nothing.body['project']]).toEqual([200, '"0"', null]);
    const set = await ask('PUT', project, { project: 'one' });
    expect(set).toMatchObject({ status: 200, etag: '"1"', body: { agent_id: 'ann', project: 'one' } });
    expect(set.body).not.toHaveProperty('created');
    expect(set.headers.get('x-agent-id')).toBe('ann');
    const same = await ask('GET', project, undefined, { 'if-none-match': 'W/"0", "1"' });
    expect([same.status, same.etag]).toEqual([304, '"1"']);
    expect((await ask('GET', project, undefined, { 'if-none-match': '"0"' })).status).toBe(200);
  });

  it('changes only from the version that If-Match names; the conflict says what is current', async () => {
    expect((await ask('PUT', project, { project: 'one' }, { 'if-none-match': '*' })).status).toBe(200);
    for (const stale of [{ 'if-none-match': '*' }, { 'if-match': '"0"' }]) {
      const lost = await ask('PUT', project, { project: 'two' }, stale);
      expect([lost.status, lost.etag]).toEqual([409, '"1"']);
      expect(lost.body.error).toMatchObject({
        code: 'VERSION_CONFLICT',
        expected: 0,
        actual: 1,
        current_project: 'one',
        updated_by: 'ann',
        session_id: expect.any(String),
        updated_at: expect.any(Number),
      });
    }
    const won = await ask('PUT', project, { project: 'two' }, { 'if-match': '"1"' });
    expect([won.status, won.etag]).toEqual([200, '"2"']);
    const cleared = await ask('DELETE', project, undefined, { 'if-match': '"2"' });
    expect(cleared).toMatchObject({ status: 200, etag: '"3"', body: { project: null } });
    expect((await ask('DELETE', project, { expected_version: 1 })).status).toBe(409);
  });

  it.each([
    [{ project: 'one', expected_version: 1 }, { 'if-match': '"2"' }, 'If-Match'],
    [{ project: 'one' }, { 'if-match': '2' }, 'If-Match'],
    [{ project: 'one' }, { 'if-match': '"x"' }, 'If-Match'],
    [{ project: 'one' }, { 'if-match': '*' }, 'If-Match'],
    [{ project: 'one' }, { 'if-none-match': '"1"' }, 'If-None-Match'],
    [{ project: 'one' }, { 'if-match': '"1"', 'if-none-match': '*' }, 'If-Match'],
    [{ project: 7 }, {}, 'project'],
    [{ name: 'one' }, {}, 'name'],
    [{}, {}, 'project'],
    [[], {}, 'arguments'],
  ])('is not changed by %j with %j', async (body, headers, field) => {
    const refused = await ask('PUT', project, body, headers as Record<string, string>);
    expect([refused.status, refused.body.error['code'], refused.body.error['field']]).toEqual([
      400,
      'INVALID_REQUEST',
      field,
    ]);
    expect((await context.manager.getCurrentProject('ann')).version).toBe(0);
  });

  it('takes the same version twice for one', async () => {
    const body = { project: 'one', expected_version: 0 };
    expect((await ask('PUT', project, body, { 'if-match': '"0"', 'if-none-match': '*' })).status).toBe(200);
  });

  it('is changed by nobody whose query names another version', async () => {
    await ask('PUT', `${project}?expected_version=0`, { project: 'one' });
    expect((await ask('DELETE', `${project}?expected_version=0`)).status).toBe(409);
    expect((await ask('PUT', `${project}?expectedVersion=7`, { project: 'two' })).status).toBe(409);
    expect((await ask('DELETE', `${project}?version=0`)).status).toBe(400);
    expect((await ask('GET', project)).body).toMatchObject({ project: 'one', version: 1 });
  });

  it('is one that exists', async () => {
    const missing = await ask('PUT', project, { project: 'three' });
    expect(missing).toMatchObject({ status: 404, body: { error: { code: 'PROJECT_NOT_FOUND' } } });
    // The path does not take it.
    expect(missing.body.error['message']).not.toContain('"create"');
    expect((await ask('GET', '/v1/agents/a%2Fb/project')).status).toBe(400);
  });
});

describe('sessions', () => {
  it('are started, shown, renewed and ended', async () => {
    const started = await ask('POST', '/v1/agents/ann/sessions', { metadata: { task: 'x' } });
    expect(started).toMatchObject({ status: 201, body: { agent_id: 'ann', status: 'active' } });
    const at = `/v1/agents/ann/sessions/${String(started.body['session_id'])}`;
    expect((await ask('GET', at)).body).toMatchObject({ metadata: { task: 'x' } });
    expect((await ask('POST', `${at}/heartbeat`)).status).toBe(200);
    expect((await ask('DELETE', at)).body).toMatchObject({ status: 'expired', reason: 'ended' });
    expect((await ask('DELETE', at)).status).toBe(200);
    const gone = await ask('POST', `${at}/heartbeat`);
    expect(gone).toMatchObject({
      status: 409,
      body: { error: { code: 'SESSION_EXPIRED', reason: 'ended' } },
    });
    const active = await ask('GET', '/v1/agents/ann/sessions?status=active');
    expect(active.body['sessions']).toEqual([]);
    expect((await ask('GET', '/v1/agents/ann/sessions?limit=1')).body['sessions']).toHaveLength(1);
    expect((await ask('GET', '/v1/agents/ann/sessions?limit=x')).body.error['field']).toBe('limit');
  });

  it('are named by X-Session-ID where the body names none, and each is of one agent', async () => {
    await ask('POST', '/v1/agents/ann/sessions', { session_id: 'anns' });
    const unnamed = await ask('PUT', project, { project: 'one' });
    expect(unnamed).toMatchObject({ status: 409, body: { error: { code: 'NO_SESSION' } } });
    const named = { 'x-session-id': 'anns' };
    expect(await ask('PUT', project, { project: 'one' }, named)).toMatchObject({
      body: { version: 1, session_id: 'anns' },
    });
    const bobs = await ask('PUT', '/v1/agents/bob/project', { project: 'one', session_id: 'anns' });
    expect(bobs.body.error).toMatchObject({ code: 'SESSION_MISMATCH', session_agent_id: 'ann' });
    expect((await ask('GET', '/v1/agents/bob/sessions/anns')).body.error['code']).toBe('SESSION_MISMATCH');
    expect((await ask('DELETE', '/v1/agents/bob/sessions/anns')).status).toBe(409);
    expect((await ask('GET', '/v1/agents/ann/sessions/none')).body.error['code']).toBe('NO_SESSION');
    const other = await ask('POST', '/v1/agents/ann/sessions', { agent_id: 'bob' });
    expect(other).toMatchObject({ status: 400, body: { error: { field: 'agent_id' } } });
  });

  it('that start too often are told when to come back', async () => {
    for (let i = 0; i < 3; i++) await ask('POST', '/v1/agents/ann/sessions');
    const refused = await ask('POST', '/v1/agents/ann/sessions');
    expect([refused.status, refused.body.error['code']]).toEqual([429, 'RATE_LIMITED']);
    const seconds = Number(refused.headers.get('retry-after'));
    expect(seconds).toBe(Math.ceil(Number(refused.body.error['retry_after_ms']) / 1000));
    expect(seconds).toBeGreaterThan(1);
  });
});

describe('projects', () => {
  it('of any name are created, shown, changed and deleted', async () => {
    const name = `Ünï code/${'ü'.repeat(110)} %2F?#`;
    const at = `/v1/projects/${encodeURIComponent(name)}`;
    expect(await ask('POST', '/v1/projects', { name })).toMatchObject({ status: 201, body: { name } });
    expect((await ask('POST', '/v1/projects', { name })).status).toBe(409);
    expect(await ask('PATCH', at, { description: 'd', tags: ['a'] })).toMatchObject({
      status: 200,
      body: { description: 'd', tags: ['a'], root: context.root },
    });
    expect((await ask('GET', at)).body).toMatchObject({ name, description: 'd' });
    expect((await ask('GET', '/v1/projects')).body['projects']).toHaveLength(3);
    expect((await ask('DELETE', at)).body).toMatchObject({ deleted: true, name });
    expect((await ask('GET', at)).status).toBe(404);
    expect((await ask('PATCH', at, {})).status).toBe(404);
  });

  it('refuse what they do not know, and other methods', async () => {
    expect((await ask('PATCH', '/v1/projects/one', { descripton: 'x' })).body.error['field']).toBe(
      'descripton',
    );
    expect((await ask('DELETE', '/v1/projects/one?purg=true')).status).toBe(400);
    const method = await ask('PUT', '/v1/projects/one', {});
    expect([method.status, method.headers.get('allow')]).toEqual([405, 'GET, PATCH, DELETE, HEAD']);
  });
});

describe('entries', () => {
  const at = '/v1/projects/one/entries';

  it('are written, and found by the query of the URL or by a body', async () => {
    const one = await ask('POST', at, { message: 'first', agent_id: 'ann', tags: ['a'], meta: { k: 1 } });
    expect(one).toMatchObject({ status: 201, body: { entries: [{ project: 'one', agent: 'ann' }] } });
    expect(one.headers.get('x-agent-id')).toBe('ann');
    await ask(
      'POST',
      at,
      { items: ['second', { message: 'third', status: 'error' }] },
      { 'x-agent-id': 'bob' },
    );
    expect((await ask('GET', at)).body).toMatchObject({
      total: 3,
      entries: [{ message: 'third', agent: 'bob' }, { message: 'second' }, { message: 'first' }],
    });
    const total = async (query: string) => (await ask('GET', `${at}?${query}`)).body['total'];
    expect(await total('status=error,bug&status=warn')).toBe(1);
    expect(await total('agents=ann&meta.k=1&tags=a')).toBe(1);
    expect(await total('message=SECOND&case_sensitive=false&pageSize=1')).toBe(1);
    expect(await total('message=SECOND&caseSensitive=true')).toBe(0);
    const body = await ask('POST', `${at}/query`, { status: ['error'], fields: ['message'] });
    expect(body).toMatchObject({ status: 200, body: { entries: [{ message: 'third' }], total: 1 } });
    expect((await ask('GET', '/v1/projects/one/audit')).body).toMatchObject({ ok: true, lines: 3 });
  });

  it('are refused with what is wrong', async () => {
    const field = async (answer: Promise<Answer>) => {
      const { status, body } = await answer;
      return [status, body.error['field']];
    };
    expect(await field(ask('GET', `${at}?page_size=1000`))).toEqual([400, 'page_size']);
    expect(await field(ask('GET', `${at}?page=x`))).toEqual([400, 'page']);
    expect(await field(ask('GET', `${at}?nope=1`))).toEqual([400, 'nope']);
    expect(await field(ask('GET', `${at}?message=(&mode=regex`))).toEqual([400, 'message']);
    expect(await field(ask('POST', at, { project: 'two', message: 'x' }))).toEqual([400, 'project']);
    expect(await field(ask('POST', '/v1/agents/ann/sessions', { agentId: 'bob' }))).toEqual([
      400,
      'agent_id',
    ]);
    expect((await ask('POST', '/v1/agents/ann/sessions', { agentId: 'ann' })).status).toBe(201);
    expect(await field(ask('POST', '/v1/projects/none/entries', { message: 'x' }))).toEqual([404, 'project']);
    expect((await ask('GET', '/v1/projects/none/entries')).status).toBe(404);
    expect((await ask('GET', '/v1/projects/none/audit')).status).toBe(404);
    expect((await ask('GET', '/v1/context/verify')).body.error['code']).toBe('CONFIG_INVALID');
  });

  it('go with their project when it is purged', async () => {
    await ask('POST', at, { message: 'first' });
    expect((await ask('DELETE', '/v1/projects/one', { purg: true })).status).toBe(400);
    expect((await ask('DELETE', '/v1/projects/one?purge=true')).status).toBe(200);
    await ask('POST', '/v1/projects', { name: 'one' });
    expect((await ask('GET', at)).body['total']).toBe(0);
    await ask('POST', at, { message: 'second' });
    expect((await ask('DELETE', '/v1/projects/one', { purge: true })).status).toBe(200);
    await ask('POST', '/v1/projects', { name: 'one' });
    expect((await ask('GET', at)).body['total']).toBe(0);
  });
});

it('events are told by agent and by type, in pages', async () => {
  await ask('PUT', project, { project: 'one' });
  await ask('PUT', project, { project: 'two' }, { 'if-match': '"0"' });
  const { body } = await ask('GET', '/v1/context/events?agent_id=ann&limit=1');
  const [last] = body['events'] as { id: number; event_type: string }[];
  expect(last?.event_type).toBe('conflict_detected');
  const before = await ask('GET', `/v1/context/events?before=${last?.id}&type=project_set`);
  expect(before.body['events']).toMatchObject([{ to_project: 'one' }]);
  expect((await ask('GET', '/v1/context/events?type=nope')).body.error['field']).toBe('type');
});

it('what goes on is told to Prometheus', async () => {
  await ask('PUT', project, { project: 'one' });
  await ask('PUT', project, { project: 'one', expected_version: 0 });
  const text = await (await running.get('/metrics')).text();
  expect(text).toContain('stomp_context_sessions_active 1');
  expect(text).toContain('stomp_context_events_total{event="conflicts"} 1');
  expect(text).toContain('stomp_context_duration_seconds_count{task="switch",outcome="done"} 1');
  expect(text).toContain('stomp_context_duration_seconds_count{task="switch",outcome="failed"} 1');
});

it('needs no engine, and no guard', async () => {
  const never = new Promise<ServedEngine>(() => undefined);
  running = await start({ context: context.manager }, new FakeEngine(), never);
  expect((await ask('GET', '/v1/agents/ann')).status).toBe(503);
  expect((await ask('PUT', project, { project: 'one' })).status).toBe(200);
  expect((await ask('GET', '/v1/projects/one')).status).toBe(200);
  expect((await ask('GET', '/v1/locks')).status).toBe(404);
  const tools = await ask('GET', '/v1/tools');
  expect(tools.body['data']).toMatchObject(context.tools.list.map(({ name }) => ({ name })));
  const called = await ask('POST', '/v1/tools/get_project', {}, { 'x-agent-id': 'ann' });
  expect(called.body).toMatchObject({ agent_id: 'ann', project: 'one' });
});

it('is there only when it is given', async () => {
  running = await start();
  expect((await ask('GET', project)).status).toBe(404);
  expect((await ask('GET', '/v1/projects')).status).toBe(404);
});
