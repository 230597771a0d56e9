/** Runs and approvals over HTTP. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunWire } from '../../../ts/clutch/wire.js';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import type { ServerOptions } from '../../../ts/serve/server.js';
import { type Running, start } from './harness.js';
import { hour, TestClutch } from './test-clutch.js';

const token = 'bm90LWEtcmVhbC10b2tlbi1qdXN0LWEtdGVzdC0xMjM';
const approver = { authorization: `Bearer ${token}` };

interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly [field: string]: unknown };
}

async function open(options: ServerOptions = {}): Promise<Running & { clutch: TestClutch }> {
  const clutch = await TestClutch.open();
  const running = await start({ clutch, approverToken: token, ...options });
  return { ...running, clutch };
}

async function pending(clutch: TestClutch) {
  const run = await clutch.start({ prompt: 'Build it' });
  return { run, gate: await clutch.open(run) };
}

const errorOf = async (response: Response) => ((await response.json()) as ErrorBody).error;

describe('runs', () => {
  it('are started with all that they can be asked for, and shown', async () => {
    const { post, get, clutch } = await open();
    const response = await post('/v1/runs', {
      prompt: 'Build it',
      base_dir: clutch.folder,
      provider: 'test',
      model: 'test-2',
      temperature: 0.5,
      max_tokens: 100,
      gate: 'all',
      gate_timeout_ms: 5000,
      stable_md: '# Docs',
      file_items: ['a.ts'],
      disc_text: 'Before.',
      agent_id: 'ann',
      session_id: 's1',
    });
    expect(response.status).toBe(201);
    const run = (await response.json()) as RunWire;
    expect(response.headers.get('location')).toBe(`/v1/runs/${run.id}`);
    expect(run).toMatchObject({
      object: 'run',
      prompt: 'Build it',
      model: 'test-2',
      agent_id: 'ann',
      gate: 'all',
    });
    const { request } = await clutch.run(run.id);
    expect(request).toMatchObject({ stableMd: '# Docs', fileItems: ['a.ts'], discText: 'Before.' });
    expect(request).toMatchObject({ temperature: 0.5, maxTokens: 100, gateTimeoutMs: 5000 });
    expect(await (await get(`/v1/runs/${run.id}`)).json()).toMatchObject({
      id: run.id,
      messages: [],
      calls: [],
    });
    expect(await (await get('/v1/runs?limit=5&status=idle')).json()).toMatchObject({
      object: 'list',
      data: [{ id: run.id }],
    });
    expect(await (await get('/v1/runs?status=done')).json()).toEqual({ object: 'list', data: [] });
  });

  it('may be tracks of tickets', async () => {
    const { post } = await open();
    const tickets = [
      { id: 'a', role: 'writer', prompt: 'Write' },
      { id: 'b', role: 'tester', prompt: 'Test', depends_on: ['a'] },
    ];
    const run = (await (await post('/v1/runs', { tickets })).json()) as RunWire;
    expect(run.tickets).toMatchObject([
      { id: 'a', depends_on: [], status: 'waiting' },
      { depends_on: ['a'] },
    ]);
  });

  it.each([
    [{ prompt: 5 }, 'prompt'],
    [{ promt: 'x' }, 'promt'],
    [{ prompt: 'x', gate: 'some' }, 'gate'],
    [{ prompt: 'x', temperature: 3 }, 'temperature'],
    [{ prompt: 'x', max_tokens: 1.5 }, 'max_tokens'],
    [{ tickets: [{ id: 'a b', role: 'r', prompt: 'p' }] }, 'tickets[0].id'],
    [{ tickets: [{ id: 'a', role: 'r' }] }, 'tickets[0].prompt'],
    [[], 'arguments'],
  ])('that cannot be asked for are refused by name: %j', async (body, field) => {
    const { post, clutch } = await open();
    const response = await post('/v1/runs', body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', field });
    expect(await clutch.runs()).toEqual([]);
  });

  it.each(['/v1/runs?status=asleep', '/v1/runs?limit=0', '/v1/runs?limit=x', '/v1/runs?state=done'])(
    'are not listed by what they do not have: %s',
    async (path) => {
      const { get } = await open();
      expect((await get(path)).status).toBe(400);
    },
  );

  it('are ended by whoever wants, once', async () => {
    const { post, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const ended = await post(`/v1/runs/${run.id}/abort`, {});
    expect(await ended.json()).toMatchObject({ status: 'aborted', id: run.id });
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'aborted' });
    const again = await post(`/v1/runs/${run.id}/abort`, {});
    expect([again.status, (await errorOf(again)).code]).toEqual([409, 'RUN_ENDED']);
    expect((await post('/v1/runs/none/abort', {})).status).toBe(404);
    expect((await post(`/v1/runs/${run.id}/abort`, { force: true })).status).toBe(400);
  });

  it('need no engine', async () => {
    const clutch = await TestClutch.open();
    const never = new Promise<never>(() => undefined);
    const { post, get } = await start({ clutch, approverToken: token }, undefined, never);
    expect((await post('/v1/runs', { prompt: 'x' })).status).toBe(201);
    expect((await get('/v1/approvals')).status).toBe(200);
  });

  it('say what they can be asked for', async () => {
    const { get, clutch } = await open();
    expect(await (await get('/v1/run-options')).json()).toEqual({
      providers: [
        { name: 'test', default_model: 'test-1' },
        { name: 'other', default_model: 'other-1' },
      ],
      default_provider: 'test',
      base_dirs: [clutch.folder],
      gate: 'all',
    });
  });
});

describe('the gate of a run', () => {
  it.each(['step', 'none'])('is not loosened by an agent: %s', async (gate) => {
    const { post, clutch } = await open();
    const response = await post('/v1/runs', { prompt: 'x', gate });
    expect(response.status).toBe(403);
    expect(await errorOf(response)).toMatchObject({ code: 'FORBIDDEN', field: 'gate', allowed: ['all'] });
    expect(await clutch.runs()).toEqual([]);
    expect((await post('/v1/tools/run_start', { prompt: 'x', gate }, approver)).status).toBe(403);
  });

  it('is loosened by the person, and tightened by anybody', async () => {
    const { post, clutch } = await open();
    clutch.defaults.gate = 'step';
    expect(await (await post('/v1/runs', { prompt: 'x', gate: 'none' }, approver)).json()).toMatchObject({
      gate: 'none',
    });
    expect((await post('/v1/runs', { prompt: 'x', gate: 'step' })).status).toBe(201);
    expect((await post('/v1/runs', { prompt: 'x', gate: 'all' })).status).toBe(201);
  });
});

describe('an approval', () => {
  it('is shown to everybody, and decided by the person', async () => {
    const { post, get, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const waiting = (await (await get(`/v1/approvals?status=pending&run_id=${run.id}`)).json()) as object;
    expect(waiting).toMatchObject({
      object: 'list',
      data: [{ id: gate.id, revision: 1, tool: 'run_script' }],
    });
    expect(await (await get(`/v1/approvals/${gate.id}`)).json()).toMatchObject({ status: 'pending' });
    const body = { decision: 'approve', revision: 1, reason: 'fine' };
    const decided = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect(decided.status).toBe(200);
    expect(await decided.json()).toMatchObject({
      status: 'approved',
      decided_by: 'approver',
      reason: 'fine',
    });
  });

  it('is edited, and then what runs is what was edited', async () => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const edits = { script: 'make test' };
    const body = { decision: 'approve', revision: 1, edits };
    const decided = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect(await decided.json()).toMatchObject({
      status: 'edited',
      payload: { script: 'make test' },
      proposed: { script: 'make' },
    });
  });

  it('is approved, not edited, where nothing was edited', async () => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const body = { decision: 'approve', revision: 1, edits: {} };
    const decided = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect(await decided.json()).toMatchObject({ status: 'approved' });
  });

  it('that is edited to what may not be stays as it is', async () => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const body = { decision: 'approve', revision: 1, edits: { script: 'rm -rf /' } };
    const refused = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([403, 'PATH_DENIED']);
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
  });

  it('is decided once, by whomever', async () => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const decide = (decision: string) =>
      post(`/v1/approvals/${gate.id}/resolve`, { decision, revision: 1 }, approver);
    const answers = await Promise.all(['approve', 'reject', 'approve', 'reject'].map(decide));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
    const lost = answers.find(({ status }) => status === 409);
    expect(await errorOf(lost as Response)).toMatchObject({
      code: 'APPROVAL_DECIDED',
      decided_by: 'approver',
    });
  });

  it('that there is not, that has expired, or shows something else by now, is not decided', async () => {
    const { post, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const decide = (id: string, revision = 1) =>
      post(`/v1/approvals/${id}/resolve`, { decision: 'approve', revision }, approver);
    const none = await decide('none');
    expect([none.status, (await errorOf(none)).code]).toEqual([404, 'APPROVAL_NOT_FOUND']);
    await clutch.gates.show(gate.id, {
      payload: { ...gate.payload, script: 'make all' },
      preview: gate.preview,
    });
    const changed = await decide(gate.id);
    expect(changed.status).toBe(409);
    expect(await errorOf(changed)).toMatchObject({ code: 'APPROVAL_CHANGED', revision: 2 });
    const late = await clutch.open(run, { id: 'late', timeoutMs: 1000 });
    clutch.now += hour / 2;
    const expired = await decide(late.id);
    expect([expired.status, (await errorOf(expired)).code]).toEqual([410, 'APPROVAL_EXPIRED']);
    expect((await decide(gate.id, 2)).status).toBe(200);
  });

  it('ends the whole run where the person says so', async () => {
    const { post, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const body = { decision: 'abort', revision: 1, reason: 'enough' };
    const decided = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect(await decided.json()).toMatchObject({ status: 'aborted', reason: 'enough' });
    expect(await clutch.run(run.id)).toMatchObject({ status: 'aborted' });
  });

  it.each([
    [{ revision: 1 }, 'decision'],
    [{ decision: 'approve' }, 'revision'],
    [{ decision: 'maybe', revision: 1 }, 'decision'],
    [{ decision: 'approve', revision: 0 }, 'revision'],
    [{ decision: 'approve', revision: '1' }, 'revision'],
    [{ decision: 'approve', revision: 1, edits: 'x' }, 'edits'],
    [{ decision: 'approve', revision: 1, edits: { other: 1 } }, 'edits.other'],
    [{ decision: 'approve', revision: 1, edit: {} }, 'edit'],
    [{ decision: 'approve', revision: 1, remember: 'yes' }, 'remember'],
    [{ decision: 'approve', revision: 1, remember: { path: '/' } }, 'remember.path'],
  ])('is not decided by what says nothing: %j', async (body, field) => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const response = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', field });
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
  });
});

describe('what is remembered', () => {
  it('is a rule for the tool, in the folder of the run or below it, until it is revoked', async () => {
    const { post, get, url, clutch } = await open();
    const { run, gate } = await pending(clutch);
    mkdirSync(join(clutch.folder, 'src'));
    const other = await clutch.open(run, { id: 'other' });
    const resolve = (id: string, remember: unknown) =>
      post(`/v1/approvals/${id}/resolve`, { decision: 'approve', revision: 1, remember }, approver);
    expect((await resolve(gate.id, true)).status).toBe(200);
    expect((await resolve(other.id, { tool: 'write_file', folder: 'src' })).status).toBe(200);
    const { data } = (await (await get(`/v1/rules?run_id=${run.id}`)).json()) as {
      data: { id: string; tool: string; folder: string }[];
    };
    expect(data.map(({ tool, folder }) => [tool, folder]).sort()).toEqual([
      ['run_script', clutch.folder],
      ['write_file', join(clutch.folder, 'src')],
    ]);
    const remove = (id?: string, headers = {}) =>
      fetch(`${url}/v1/rules/${id}`, { method: 'DELETE', headers });
    expect((await remove(data[0]?.id)).status).toBe(401);
    expect((await remove(data[0]?.id, approver)).status).toBe(200);
    expect((await remove(data[0]?.id, approver)).status).toBe(404);
    expect(await clutch.gates.rules()).toHaveLength(1);
  });

  it('is nothing where the approval is of no tool, or was rejected', async () => {
    const { post, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const step = await clutch.open(run, { id: 'step', kind: 'step', tool: undefined });
    const body = { decision: 'approve', revision: 1, remember: true };
    expect((await post(`/v1/approvals/${step.id}/resolve`, body, approver)).status).toBe(400);
    await post(`/v1/approvals/${gate.id}/resolve`, { ...body, decision: 'reject' }, approver);
    expect(await clutch.gates.rules()).toEqual([]);
  });
});

describe('a new run, or a question', () => {
  it.each(['spawn', 'ask'] as const)(
    'cannot be remembered, for it is asked anew each time: %s',
    async (kind) => {
      const { post, clutch } = await open();
      const { run } = await pending(clutch);
      const gate = await clutch.open(run, {
        id: kind,
        kind,
        tool: kind === 'ask' ? 'run_script' : 'spawn_run',
      });
      const body = { decision: 'approve', revision: 1, remember: true };
      const response = await post(`/v1/approvals/${gate.id}/resolve`, body, approver);
      expect(response.status).toBe(400);
      expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', field: 'remember' });
      expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
      expect(await clutch.gates.rules()).toEqual([]);
    },
  );
});

describe('whoever is no person', () => {
  it.each([
    ['nothing', {}],
    ['a wrong token', { authorization: `Bearer ${token.slice(1)}x` }],
  ])('with %s decides nothing, and is told where the token is', async (_, headers) => {
    const { post, clutch } = await open();
    const { run, gate } = await pending(clutch);
    const body = { decision: 'approve', revision: 1 };
    const response = await post(`/v1/approvals/${gate.id}/resolve`, body, headers);
    expect(response.status).toBe(401);
    expect((await errorOf(response)).message).toContain('approver-token');
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
    expect(clutch.audited).toMatchObject([{ run: run.id, record: { status: 401 } }]);
  });

  it('decides nothing with a key that is for agents; one for approvers does', async () => {
    const key = (role: string) => `the-key-of-the-${role}-1`;
    const roles = ['user', 'admin', 'approver'] as const;
    const keys = new KeyRing(roles.map((role) => ({ role, key: key(role), name: `${role}-1` })));
    const { post, clutch } = await open({ keys, approverToken: undefined });
    const { run, gate } = await pending(clutch);
    const resolve = (role: string) =>
      post(
        `/v1/approvals/${gate.id}/resolve`,
        { decision: 'approve', revision: 1 },
        { authorization: `Bearer ${key(role)}` },
      );
    expect((await resolve('user')).status).toBe(403);
    expect((await resolve('admin')).status).toBe(403);
    expect((await resolve('nobody')).status).toBe(401);
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
    expect(await (await resolve('approver')).json()).toMatchObject({ decided_by: 'approver-1' });
    expect(clutch.audited.map(({ run: id, record: { status, key: name } }) => [id, status, name])).toEqual([
      [run.id, 403, 'user-1'],
      [run.id, 403, 'admin-1'],
      [run.id, 401, undefined],
      [run.id, 200, 'approver-1'],
    ]);
  });

  it('decides nothing through a page of somebody else, whatever it knows', async () => {
    const { post, clutch } = await open();
    const { gate } = await pending(clutch);
    const body = { decision: 'approve', revision: 1 };
    for (const origin of ['https://evil.example', 'null']) {
      const response = await post(`/v1/approvals/${gate.id}/resolve`, body, { ...approver, origin });
      expect([response.status, (await errorOf(response)).code]).toEqual([403, 'FORBIDDEN']);
    }
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ]) {
      const form = { ...approver, 'content-type': type };
      expect((await post(`/v1/approvals/${gate.id}/resolve`, body, form)).status).toBe(415);
      expect((await post(`/v1/approvals/${gate.id}/resolve`, body, { 'content-type': type })).status).toBe(
        401,
      );
    }
    expect(await clutch.gates.get(gate.id)).toMatchObject({ status: 'pending' });
  });
});

describe('the audit of a run', () => {
  it('has each request that would change it, with who asked and what was decided, and no secrets', async () => {
    const { post, get, clutch } = await open();
    const { run, gate } = await pending(clutch);
    await get(`/v1/runs/${run.id}?x=1`);
    await get(`/v1/runs/${run.id}`);
    await get(`/v1/approvals/${gate.id}`);
    await get('/v1/approvals/none');
    await get('/v1/runs/none');
    await get('/v1/runs');
    const edits = { script: 'echo sesame' };
    await post(`/v1/approvals/${gate.id}/resolve`, { decision: 'approve', revision: 1, edits }, approver);
    await post(`/v1/approvals/${gate.id}/resolve`, { decision: 'reject', revision: 1 }, approver);
    const created = (await (await post('/v1/runs', { prompt: 'sesame' })).json()) as RunWire;
    const resolved = {
      method: 'POST',
      path: `/v1/approvals/${gate.id}/resolve`,
      key: 'approver',
      revision: 1,
    };
    expect(clutch.audited).toEqual([
      { run: run.id, record: { ...resolved, status: 200, decision: 'approve' } },
      { run: run.id, record: { ...resolved, status: 409, decision: 'reject' } },
      { run: created.id, record: { method: 'POST', path: '/v1/runs', status: 201 } },
    ]);
  });

  it('that cannot be written does not change what was decided', async () => {
    const { post, clutch, log } = await open();
    const { gate } = await pending(clutch);
    clutch.auditHttp = () => Promise.reject(new Error('the disk is full'));
    const body = { decision: 'approve', revision: 1 };
    expect((await post(`/v1/approvals/${gate.id}/resolve`, body, approver)).status).toBe(200);
    expect(log.some(({ msg }) => msg === 'a request could not be audited')).toBe(true);
  });
});
