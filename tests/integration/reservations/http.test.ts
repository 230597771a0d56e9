/** Reservations over real HTTP, of a real repository; no engine is asked. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { Reservations } from '../../../ts/reservations/index.js';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import { type Running, start, until } from '../../unit/serve/harness.js';
import { newFolder, TestRepository } from './repositories.js';

type Body = Record<string, unknown> & { error: Record<string, unknown> };

const files = {
  'src/tax.py': 'def rate(country):\n    return 0.19\n',
  'src/shop.py': 'from src.tax import rate\n\n\ndef total(net):\n    return net * rate("de")\n',
};

let repository: TestRepository;
let reservations: Reservations;
let running: Running;
beforeEach(async () => {
  repository = new TestRepository();
  repository.commit(files);
  reservations = await Reservations.open({ folder: repository.folder });
  running = await start({ reservations });
});
afterEach(async () => {
  await Promise.all([running.server.close(), running.server.close()]);
  await reservations.close();
});

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Body; headers: Headers }> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await fetch(running.url + path, { method, headers: { ...type, ...headers }, ...json });
  const text = await response.text();
  return {
    status: response.status,
    body: (text === '' ? {} : JSON.parse(text)) as Body,
    headers: response.headers,
  };
}

async function reserve(runId: string, address: string, more: object = {}): Promise<string> {
  const { status, body } = await ask('POST', '/v1/reservations', {
    run_id: runId,
    branch: `feat/${runId}`,
    addresses: [address],
    ...more,
  });
  expect(status, JSON.stringify(body)).toBe(201);
  return body['reservation_id'] as string;
}

const ann = { 'x-agent-id': 'ann' };

describe('a reservation', () => {
  it('is made for the agent that the header names, on the branch that is checked out, and lives until it is released', async () => {
    const made = await ask('POST', '/v1/reservations', { addresses: ['src/tax.py::rate'] }, ann);
    expect(made).toMatchObject({ status: 201, body: { run_id: 'ann', branch: 'main', held: [] } });
    expect(made.headers.get('x-agent-id')).toBe('ann');
    const path = `/v1/reservations/${made.body['reservation_id']}`;
    expect(await ask('GET', path)).toMatchObject({ status: 200, body: { addresses: ['src/tax.py::rate'] } });
    const renewed = await ask('POST', `${path}/renew`, { ttl_seconds: 7200 }, ann);
    expect(renewed.status).toBe(200);
    expect(Date.parse(renewed.body['expires_at'] as string)).toBeGreaterThan(Date.now() + 7_000_000);
    expect((await ask('GET', '/v1/reservations')).body['reservations']).toHaveLength(1);
    expect((await ask('DELETE', path, undefined, ann)).body).toHaveProperty('released_at');
    expect((await ask('GET', '/v1/reservations')).body['reservations']).toEqual([]);
    expect((await ask('GET', '/v1/reservations?all=true')).body['reservations']).toHaveLength(1);
    expect((await ask('GET', path)).body).toHaveProperty('released_at');
  });

  it('is released by whoever the body names, without a header', async () => {
    const id = await reserve('ann', 'src/tax.py');
    const released = await ask('DELETE', `/v1/reservations/${id}`, { run_id: 'ann' });
    expect(released).toMatchObject({ status: 200, body: { run_id: 'ann' } });
  });

  it('tells who has it already; asked for if it is free, it is refused with the holders', async () => {
    const id = await reserve('ann', 'src/tax.py::rate');
    const wish = { run_id: 'bob', branch: 'feat/bob', addresses: ['src/tax.py'] };
    const refused = await ask('POST', '/v1/reservations', { ...wish, if_free: true });
    expect(refused.status).toBe(409);
    expect(refused.body.error).toMatchObject({
      code: 'RESERVATION_CONFLICT',
      holders: [{ reservation_id: id, run_id: 'ann', branch: 'feat/ann', overlap: 'contains' }],
    });
    const made = await ask('POST', '/v1/reservations', wish);
    expect(made).toMatchObject({ status: 201, body: { held: [{ reservation_id: id, run_id: 'ann' }] } });
  });

  it('is nobody else’s to release or renew', async () => {
    const id = await reserve('ann', 'src/tax.py');
    for (const [method, path] of [
      ['DELETE', `/v1/reservations/${id}`],
      ['POST', `/v1/reservations/${id}/renew`],
    ] as const) {
      const answer = await ask(method, path, { run_id: 'bob' });
      expect([answer.status, answer.body.error['code']]).toEqual([403, 'FORBIDDEN']);
    }
    expect((await ask('GET', '/v1/reservations')).body['reservations']).toHaveLength(1);
  });
});

describe('a request that cannot be done', () => {
  const unknown = '/v1/reservations/7f0c1a52-9f0a-4a55-8c55-1d0a6f1b2c3d';
  it.each([
    ['GET', unknown, undefined, 404, 'RESERVATION_NOT_FOUND'],
    ['GET', '/v1/reservations/nope', undefined, 404, 'RESERVATION_NOT_FOUND'],
    ['DELETE', unknown, { run_id: 'ann' }, 404, 'RESERVATION_NOT_FOUND'],
    ['POST', `${unknown}/renew`, { run_id: 'ann' }, 404, 'RESERVATION_NOT_FOUND'],
    ['POST', '/v1/reservations', { addresses: ['a.py'] }, 400, 'INVALID_REQUEST'],
    ['POST', '/v1/intents', { addresses: ['a.py'], operation: 'modify' }, 400, 'INVALID_REQUEST'],
    ['POST', '/v1/reservations', { run_id: 'a', addresses: ['/etc/passwd'] }, 400, 'INVALID_REQUEST'],
    ['POST', '/v1/reservations', { run_id: 'a', addresses: ['a.py'], pony: 1 }, 400, 'INVALID_REQUEST'],
    ['POST', '/v1/reservations', [], 400, 'INVALID_REQUEST'],
    ['GET', '/v1/reservations?pony=1', undefined, 400, 'INVALID_REQUEST'],
    ['GET', '/v1/shards', undefined, 400, 'INVALID_REQUEST'],
    ['GET', '/v1/shards?count=many', undefined, 400, 'INVALID_REQUEST'],
    ['GET', '/v1/impact', undefined, 400, 'INVALID_REQUEST'],
    ['GET', '/v1/merge-plan?ours=main', undefined, 400, 'INVALID_REQUEST'],
    ['GET', '/v1/merge-plan?ours=main&theirs=nope', undefined, 404, 'UNKNOWN_REF'],
    ['GET', '/v1/merge-plan?ours=main&theirs=--output=x', undefined, 400, 'INVALID_REQUEST'],
    ['PATCH', '/v1/reservations', {}, 405, 'METHOD_NOT_ALLOWED'],
    ['GET', '/v1/reservations/await', undefined, 405, 'METHOD_NOT_ALLOWED'],
    ['OPTIONS', '/v1/forecast', undefined, 405, 'METHOD_NOT_ALLOWED'],
  ])('%s %s %j is a %i %s', async (method, path, body, status, code) => {
    const answer = await ask(method, path, body);
    expect([answer.status, answer.body.error['code']]).toEqual([status, code]);
  });

  it('names another reservation in its body than in its path', async () => {
    const id = await reserve('ann', 'src/tax.py');
    const answer = await ask('DELETE', `/v1/reservations/${id}`, { run_id: 'ann', reservation_id: unknown });
    expect(answer).toMatchObject({ status: 400, body: { error: { field: 'reservation_id' } } });
  });
});

describe('intents and forecasts', () => {
  it('name the calls by which two agents meet', async () => {
    await reserve('ann', 'src/tax.py::rate');
    await reserve('bob', 'src/shop.py::total');
    const { status, body } = await ask('GET', '/v1/forecast');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      active_reservations: 2,
      conflicts: [
        {
          conflict_type: 'blast_radius_overlap',
          agents: expect.arrayContaining(['ann@feat/ann', 'bob@feat/bob']),
          call_path: ['src/shop.py::total', 'src/tax.py::rate'],
        },
      ],
    });
    expect((await ask('GET', '/v1/forecast?run_id=eve')).body['conflicts']).toEqual([]);
  });

  it('are listed without the reservations', async () => {
    const id = await reserve('ann', 'src/tax.py::rate');
    const intent = { run_id: 'ann', branch: 'feat/ann', reservation_id: id, operation: 'rename' };
    expect(await ask('POST', '/v1/intents', intent)).toMatchObject({
      status: 201,
      body: { operation: 'rename', addresses: ['src/tax.py::rate'] },
    });
    const listed = await ask('GET', '/v1/intents');
    expect(listed.body).toMatchObject({ intents: [{ reservation_id: id }], warnings: [] });
    expect(listed.body).not.toHaveProperty('reservations');
  });
});

describe('what is asked of the code', () => {
  it('plans a merge, with the merged texts when they are wanted', async () => {
    repository.branch('one', { 'src/tax.py': `${files['src/tax.py']}\n\ndef a():\n    pass\n` });
    repository.branch('two', { 'src/shop.py': `${files['src/shop.py']}\n\ndef b():\n    pass\n` });
    const short = await ask('GET', '/v1/merge-plan?ours=one&theirs=two');
    expect(short).toMatchObject({ status: 200, body: { is_clean: true, conflicts: [] } });
    const long = await ask('POST', '/v1/merge-plan', { ours: 'one', theirs: 'two', content: true });
    const plan = long.body as unknown as { files: Record<string, unknown>[] };
    expect(plan.files.every((file) => 'blob' in file || 'text' in file)).toBe(true);
    expect((await ask('GET', '/v1/merge-plan?ours=one&theirs=two&content=true')).body).toEqual(long.body);
    expect(await ask('POST', '/v1/reconcile')).toMatchObject({
      status: 200,
      body: { order: [{ conflicts: 0 }, { conflicts: 0 }] },
    });
  });

  it('tells callers and shares', async () => {
    const impact = { affected: [{ address: 'src/shop.py::total', distance: 1 }] };
    const byBody = await ask('POST', '/v1/impact', { addresses: ['src/tax.py::rate'] });
    expect(byBody).toMatchObject({ status: 200, body: impact });
    const byQuery = await ask(
      'GET',
      '/v1/impact?address=src/tax.py::rate&address=src/shop.py::total&depth=2',
    );
    expect(byQuery).toMatchObject({
      status: 200,
      body: { addresses: ['src/tax.py::rate', 'src/shop.py::total'] },
    });
    const { body } = await ask('GET', '/v1/shards?count=2');
    expect(body['parts']).toHaveLength(2);
  });
});

describe('a wait', () => {
  const want = { addresses: ['src/tax.py'], run_id: 'bob', branch: 'feat/bob' };

  it('ends when the symbols are free', async () => {
    const id = await reserve('ann', 'src/tax.py::rate');
    const waiting = ask('POST', '/v1/reservations/await', want);
    await until(() => running.server.runningTurns === 1, 'it waits');
    await ask('DELETE', `/v1/reservations/${id}`, { run_id: 'ann' });
    expect(await waiting).toMatchObject({ status: 200, body: { free: true } });
  });

  it('ends in vain when its time is up', async () => {
    await reserve('ann', 'src/tax.py::rate');
    const answer = await ask('POST', '/v1/reservations/await', { ...want, timeout_seconds: 0 });
    expect([answer.status, answer.body.error['code']]).toEqual([409, 'RESERVATION_CONFLICT']);
  });

  it('is over when its client goes', async () => {
    await reserve('ann', 'src/tax.py::rate');
    const gone = new AbortController();
    const waiting = fetch(`${running.url}/v1/reservations/await`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(want),
      signal: gone.signal,
    });
    await until(() => running.server.runningTurns === 1, 'it waits');
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await until(() => running.server.runningTurns === 0, 'nobody waits any more');
    await until(
      () => running.log.some((line) => line['status'] === 499),
      'the log says that the client went',
    );
  });

  it.each(['/v1/reservations/await', '/v1/tools/await_symbols'])(
    'at %s does not hold up a server that shuts down',
    async (path) => {
      await reserve('ann', 'src/tax.py::rate');
      const waiting = ask('POST', path, want);
      await until(() => running.server.runningTurns === 1, 'it waits');
      const began = performance.now();
      await running.server.close();
      expect(performance.now() - began).toBeLessThan(3000);
      const { status, body } = await waiting;
      expect([status, body.error['code']]).toEqual([503, 'SHUTTING_DOWN']);
    },
  );
});

describe('with keys', () => {
  const key = (name: string) => `stomp_${name}_0123456789abcdef`;
  const keys = new KeyRing([
    { role: 'user', key: key('user') },
    { role: 'admin', key: key('admin') },
  ]);
  const bearing = (name: string) => ({ authorization: `Bearer ${key(name)}` });

  it('only an admin moves old records aside, on whatever path', async () => {
    running = await start({ reservations, keys });
    const message = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'archive_reservations', arguments: {} },
    };
    for (const [path, body] of [
      ['/v1/reservations/archive', {}],
      ['/v1/tools/archive_reservations', {}],
      ['/mcp', message],
      ['/mcp', [message]],
    ] as const) {
      const { status, body: answer } = await ask('POST', path, body, bearing('user'));
      expect([path, status, JSON.stringify(answer).includes('FORBIDDEN')]).toEqual([path, 403, true]);
    }
    const id = await ask('POST', '/v1/reservations', { run_id: 'a', addresses: ['a.py'] }, bearing('user'));
    const path = `/v1/reservations/${id.body['reservation_id']}`;
    await ask('DELETE', path, { run_id: 'a' }, bearing('user'));
    const body = { older_than_seconds: 0 };
    const archived = await ask('POST', '/v1/reservations/archive', body, bearing('admin'));
    expect(archived).toMatchObject({ status: 200, body: { archived: 2 } });
    expect((await ask('GET', path, undefined, bearing('user'))).status).toBe(404);
  });
});

describe('where there is no repository', () => {
  it('the paths say so and how to name one, before any body is read; the rest of the server works', async () => {
    const reason = await Reservations.open({ folder: newFolder() }).catch((error: unknown) => error);
    expect(reason).toBeInstanceOf(StompError);
    running = await start({ reservations: reason as StompError });
    for (const [method, path] of [
      ['GET', '/v1/reservations'],
      ['POST', '/v1/reservations'],
      ['DELETE', '/v1/reservations/x'],
      ['GET', '/v1/intents'],
      ['GET', '/v1/forecast'],
      ['POST', '/v1/merge-plan'],
    ] as const) {
      const answer = await ask(method, path, method === 'POST' ? {} : undefined);
      expect([path, answer.status, answer.body.error['code']]).toEqual([path, 404, 'NOT_A_REPOSITORY']);
    }
    expect((await ask('GET', '/v1/tools')).status).toBe(404);
    expect((await ask('GET', '/v1/models')).status).toBe(200);
  });
});
