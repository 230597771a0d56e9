/** The context's tools: for whom a call is made, in which session, and what comes back. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AgentContextManager } from '../../../ts/context/agent-context-manager.js';
import { StompError } from '../../../ts/errors.js';
import { Connection } from '../../../ts/tools/connection.js';
import type { Actor, Caller } from '../../../ts/tools/tool.js';
import type { Toolbox } from '../../../ts/tools/toolbox.js';
import { openContext } from './open-context.js';

let tools: Toolbox;
let root: string;
let manager: AgentContextManager;
let now: number;
beforeEach(async () => {
  now = Date.UTC(2026, 0, 1);
  ({ tools, root, manager } = await openContext({ now: () => now, sessionTtlMs: 1000 }));
  for (const name of ['one', 'two']) await manager.createProject({ name });
});

type Body = Record<string, unknown>;
const call = async (name: string, args: object = {}, caller?: Caller) =>
  (await tools.call(name, args, caller)) as Body;
const errorOf = async (name: string, args: object, caller?: Caller): Promise<StompError> => {
  const error = await tools.call(name, args, caller).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(StompError);
  return error as StompError;
};

/** A client of MCP: its requests say what `said` says, and it has a connection. */
function client(said: { agentId?: string; sessionId?: string } = {}): Caller & { actors: Actor[] } {
  const actors: Actor[] = [];
  return {
    agentId: said.agentId ?? 'client-1b4e',
    sessionId: said.sessionId ?? '1b4e',
    said: { agentId: said.agentId, sessionId: said.sessionId },
    connection: new Connection(),
    onActor: (actor) => actors.push(actor),
    actors,
  };
}

describe('the agent of a call', () => {
  it('is Scribe for whoever says nothing, over every connection the same', async () => {
    const [first, second] = [client(), client()];
    expect(await call('set_project', { name: 'one' }, first)).toMatchObject({
      agent_id: 'Scribe',
      version: 1,
    });
    expect(await call('set_project', { name: 'two' }, second)).toMatchObject({ version: 2 });
    expect(await call('get_project')).toMatchObject({ agent_id: 'Scribe', project: 'two', version: 2 });
    expect(first.actors.at(-1)).toEqual({ agentId: 'Scribe', sessionId: expect.any(String) });
  });

  it('is whom the request names, unless an argument names another', async () => {
    const ann = client({ agentId: 'ann' });
    expect(await call('set_project', { name: 'one' }, ann)).toMatchObject({ agent_id: 'ann' });
    expect(await call('set_project', { name: 'one', agent_id: 'bob' }, ann)).toMatchObject({
      agent_id: 'bob',
    });
    expect(await call('get_project', {}, { agentId: 'ann', sessionId: 'x' })).toMatchObject({ version: 1 });
    expect(await errorOf('get_project', { agent_id: 'a/b' })).toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field: 'agent_id' },
    });
  });
});

describe('the session of a call', () => {
  it('is the one that was started over the connection, until it is ended', async () => {
    const ann = client({ agentId: 'ann' });
    const { session_id: id } = await call('session_start', { metadata: { anyName: 1 } }, ann);
    expect(await call('set_project', { name: 'one' }, ann)).toMatchObject({ session_id: id });
    expect(await call('session_heartbeat', {}, ann)).toMatchObject({ session_id: id, status: 'active' });
    expect(await errorOf('set_project', { name: 'two' }, client({ agentId: 'ann' }))).toMatchObject({
      code: 'NO_SESSION',
    });
    expect(await call('session_end', {}, ann)).toMatchObject({ session_id: id, status: 'expired' });
    const next = await call('set_project', { name: 'two' }, ann);
    expect(next.session_id).not.toBe(id);
  });

  it('is named by an argument, or by the request when it is one of the context', async () => {
    const { session_id: id } = await call('session_start', { agent_id: 'ann', session_id: 'mine' });
    expect(id).toBe('mine');
    const args = { name: 'one', agent_id: 'ann' };
    expect(await call('set_project', { ...args, session_id: 'mine' })).toMatchObject({ version: 1 });
    expect(await call('set_project', args, client({ sessionId: 'mine' }))).toMatchObject({ version: 2 });
    expect(await errorOf('set_project', { ...args, session_id: 'nobodys' })).toMatchObject({
      code: 'NO_SESSION',
    });
    const lockName = client({ agentId: 'bob', sessionId: 'nobodys' });
    expect(await call('set_project', { name: 'one' }, lockName)).toMatchObject({ agent_id: 'bob' });
  });

  it("is never another agent's", async () => {
    await call('session_start', { agent_id: 'ann', session_id: 'anns' });
    const args = { name: 'one', agent_id: 'bob', session_id: 'anns' };
    for (const tool of ['session_heartbeat', 'session_end'])
      expect((await errorOf(tool, { agent_id: 'bob', session_id: 'anns' })).code).toBe('SESSION_MISMATCH');
    expect((await errorOf('set_project', args)).code).toBe('SESSION_MISMATCH');
    expect((await call('get_project', { agent_id: 'bob' })).version).toBe(0);
  });

  it('is refused when its lease has run out, and no heartbeat revives it', async () => {
    const ann = client({ agentId: 'ann' });
    await call('session_start', {}, ann);
    now += 1000;
    expect((await errorOf('set_project', { name: 'one' }, ann)).code).toBe('SESSION_EXPIRED');
    expect((await errorOf('session_heartbeat', {}, ann)).code).toBe('SESSION_EXPIRED');
    await call('session_start', {}, ann);
    expect(await call('set_project', { name: 'one' }, ann)).toMatchObject({ version: 1 });
  });

  it('can be renewed and ended by whoever knows its id, and by those who have never started one', async () => {
    await call('session_start', { agent_id: 'ann', session_id: 'anns' });
    expect(await call('session_heartbeat', { session_id: 'anns' })).toMatchObject({ agent_id: 'ann' });
    expect(await call('session_end', { session_id: 'anns' })).toMatchObject({ reason: 'ended' });
    expect((await errorOf('session_end', {})).code).toBe('NO_SESSION');
    for (const tool of ['session_start', 'session_heartbeat', 'session_end']) {
      const who = client(tool === 'session_start' ? { agentId: 'bob' } : {});
      await call(tool, { session_id: 'bobs' }, who);
      expect(who.actors.at(-1)).toEqual({ agentId: 'bob', sessionId: 'bobs' });
    }
    const { session_id: implicit } = await call('set_project', { name: 'one' });
    expect(await call('session_heartbeat')).toMatchObject({ session_id: implicit });
    expect(await call('session_end')).toMatchObject({ session_id: implicit, status: 'expired' });
  });
});

describe('set_project', () => {
  it('tells the loser what is current, flat, and takes the change with that version', async () => {
    await call('set_project', { name: 'one', agent_id: 'ann', updated_by: 'first' });
    const error = await errorOf('set_project', { name: 'two', agentId: 'ann', expectedVersion: 0 });
    expect(error).toMatchObject({
      code: 'VERSION_CONFLICT',
      status: 409,
      fields: {
        expected: 0,
        actual: 1,
        current_project: 'one',
        updated_by: 'first',
        session_id: expect.any(String),
        updated_at: now,
      },
    });
    const again = { name: 'two', agent_id: 'ann', expected_version: error.fields.actual };
    expect(await call('set_project', again)).toMatchObject({ project: 'two', version: 2, created: false });
    const { events } = await call('context_events', { agent_id: 'ann', type: 'conflict_detected' });
    expect(events).toMatchObject([{ expected_version: 0, actual_version: 1, success: false }]);
  });

  it('clears with null, and says what is wrong with anything else', async () => {
    await call('set_project', { name: 'one' });
    expect(await call('set_project', { name: null })).toMatchObject({ project: null, version: 2 });
    expect(await errorOf('set_project', {})).toMatchObject({ fields: { field: 'name' } });
    expect(await errorOf('set_project', { name: 7 })).toMatchObject({ fields: { field: 'name' } });
    const negative = await errorOf('set_project', { name: 'one', expected_version: -1 });
    expect(negative.fields.field).toBe('expected_version');
  });

  it('creates a project when it is told to, or its root is given, and not otherwise', async () => {
    const missing = await errorOf('set_project', { name: 'three' });
    expect(missing).toMatchObject({ code: 'PROJECT_NOT_FOUND', fields: { value: 'three' } });
    expect(missing.message).toContain('"create": true');
    const args = { name: 'three', create: true, description: 'The third', tags: 'a, b' };
    expect(await call('set_project', args)).toMatchObject({ project: 'three', created: true, version: 1 });
    expect(await call('set_project', { name: 'four', root })).toMatchObject({ created: true });
    expect(await call('get_project', { name: 'three' })).toMatchObject({
      details: { description: 'The third', tags: ['a', 'b'], root },
    });
    expect((await errorOf('set_project', { name: 'five', create: false, root })).code).toBe(
      'PROJECT_NOT_FOUND',
    );
  });

  it('creates nothing when the change is refused, and leaves what is there as it is', async () => {
    await call('set_project', { name: 'one' });
    const stale = { name: 'six', create: true, expected_version: 0 };
    expect((await errorOf('set_project', stale)).code).toBe('VERSION_CONFLICT');
    expect((await errorOf('get_project', { name: 'six' })).code).toBe('PROJECT_NOT_FOUND');
    await call('set_project', { name: 'two', root, description: 'Another' });
    expect(await call('get_project')).toMatchObject({ project: 'two', details: { description: '' } });
  });
});

describe('projects', () => {
  it('are created, shown, changed and deleted', async () => {
    const created = await call('project_create', { name: 'Ünï code/x', meta: { keptAs: 'it is' } });
    expect(created).toMatchObject({ root, meta: { keptAs: 'it is' } });
    expect((await errorOf('project_create', { name: 'one' })).code).toBe('PROJECT_EXISTS');
    const changed = await call('project_update', { name: 'Ünï code/x', tags: ['t'] });
    expect(changed).toMatchObject({ tags: ['t'], meta: { keptAs: 'it is' } });
    const { projects } = await call('project_list');
    expect(projects).toMatchObject([{ name: 'one' }, { name: 'two' }, { name: 'Ünï code/x' }]);
    await call('set_project', { name: 'Ünï code/x' });
    expect(await call('project_delete', { name: 'Ünï code/x' })).toMatchObject({ deleted: true });
    expect(await call('get_project')).toMatchObject({ project: null, version: 1, details: null });
  });

  it('stay within the roots, and the refusal names the argument', async () => {
    expect((await errorOf('project_create', { name: 'x', root: '/etc' })).code).toBe('PATH_DENIED');
    const bad = await errorOf('project_create', { name: 'x', progress_log_path: 'logs/' });
    expect(bad.fields.field).toBe('progress_log_path');
  });
});

it('sessions are listed by agent and by status', async () => {
  await call('session_start', { agent_id: 'ann' });
  await call('session_start', { agent_id: 'ann' });
  await call('session_start', { agent_id: 'bob' });
  expect((await call('session_list')).sessions).toHaveLength(3);
  expect((await call('session_list', { agent_id: 'ann', status: 'active' })).sessions).toHaveLength(1);
  expect((await call('session_list', { limit: 2 })).sessions).toHaveLength(2);
  expect(await manager.countActiveSessions()).toBe(2);
  now += 1000;
  expect(await manager.countActiveSessions()).toBe(0);
});

describe('entries', () => {
  beforeEach(async () => {
    await call('set_project', { name: 'one' });
  });

  it('go into the log of the current project, of Scribe for whoever says nothing', async () => {
    const message = 'a|b; c\nexample ü';
    const meta = { someKey: 'x' };
    const { entries, duplicates, log } = await call('append_entry', { message, status: 'bug', meta });
    expect(entries).toMatchObject([
      { project: 'one', agent: 'Scribe', message, status: 'bug', priority: 'high', meta, line: 1 },
    ]);
    expect(duplicates).toEqual([]);
    expect(log).toMatchObject({ written: true });
    expect(await call('read_recent')).toMatchObject({ entries, total: 1 });
  });

  it('come one or many, and each once by its id', async () => {
    const items = ['first', { message: 'second', status: 'warn', id: 'x' }];
    const args = { items, category: 'c', project: 'two', timestamp: '2026-01-31 12:00:00 UTC' };
    const { entries } = await call('append_entry', args);
    expect(entries).toMatchObject([
      { message: 'first', status: 'info', category: 'c', ts: Date.UTC(2026, 0, 31, 12) },
      { message: 'second', status: 'warn', category: 'c', id: 'x' },
    ]);
    const again = await call('append_entry', { ...args, items: items.slice(1) });
    expect(again.duplicates).toEqual(['x']);
    expect((await call('read_recent', { project: 'two' })).total).toBe(2);
    for (const wrong of [{}, { message: 'a', items: ['b'] }])
      expect((await errorOf('append_entry', wrong)).fields.field).toBe('message');
    expect((await errorOf('append_entry', { items: [{ msg: 'a' }] })).fields.field).toBe('items[0].msg');
  });

  it('are found by everything that they say', async () => {
    const items = Array.from({ length: 25 }, (_, i) => ({
      message: `entry ${i}`,
      status: i % 5 === 0 ? 'error' : 'info',
      meta: { i },
    }));
    await call('append_entry', { items, tags: 'a, b', confidence: 0.5 });
    expect(await call('query_entries', { page: 3, page_size: 10 })).toMatchObject({
      total: 25,
      pages: 3,
      has_more: false,
      entries: { length: 5 },
    });
    const found = async (args: object) => (await call('query_entries', args)).total;
    expect(await found({ status: 'error' })).toBe(5);
    expect(await found({ status: ['error', 'bug'], tags: ['b'], min_confidence: 0.5 })).toBe(5);
    expect(await found({ message: 'ENTRY 1', caseSensitive: true })).toBe(0);
    expect(await found({ message: '^entry 1.$', mode: 'regex', meta: { i: 12 } })).toBe(1);
    expect(await found({ start: '2026-01-01', end: '2026-01-01' })).toBe(25);
    expect(await found({ start: now + 1 })).toBe(0);
    expect(await call('read_recent', { limit: 2, fields: ['message'], filter: { status: 'error' } })).toEqual(
      expect.objectContaining({ entries: [{ message: 'entry 20' }, { message: 'entry 15' }], total: 5 }),
    );
    expect(await found({ scope: 'all' })).toBe(25);
    expect((await errorOf('query_entries', { message: '(', mode: 'regex' })).code).toBe('INVALID_REQUEST');
    expect((await errorOf('query_entries', { status: 'done' })).fields.field).toBe('status');
    expect((await errorOf('query_entries', { project: 'three' })).code).toBe('PROJECT_NOT_FOUND');
  });

  it('are refused under a lease that has run out', async () => {
    const ann = client({ agentId: 'ann' });
    await call('session_start', {}, ann);
    now += 1000;
    const args = { message: 'late', project: 'one' };
    expect((await errorOf('append_entry', args, ann)).code).toBe('SESSION_EXPIRED');
    expect((await call('read_recent', { project: 'one' })).total).toBe(0);
  });
});

it('the logs and the state file can be checked, and the file shows the tools that were used', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-state-'));
  const stateFile = join(folder, 'state.json');
  const own = await openContext({ stateFile });
  const args = { name: 'one', create: true, agent_id: 'ann' };
  await own.tools.call('set_project', args);
  await own.tools.call('append_entry', { message: 'm', project: 'one' });
  expect(await own.tools.call('context_audit', {})).toMatchObject({
    ok: true,
    reports: [{ project: 'one', lines: 1 }],
  });
  expect(await own.tools.call('context_verify', {})).toEqual({ ok: true, drift: [] });
  await own.manager.close();
  const state = JSON.parse(readFileSync(stateFile, 'utf8')) as { recent_tools: object[] };
  expect(state.recent_tools).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: 'set_project', agent_id: 'ann' }),
      expect.objectContaining({ name: 'append_entry', agent_id: 'Scribe' }),
    ]),
  );
  rmSync(folder, { recursive: true });
  const none = await errorOf('context_verify', {});
  expect(none.code).toBe('CONFIG_INVALID');
});
