/** What sessions and current projects promise, whatever the database. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentContextManager } from '../../../ts/context/agent-context-manager.js';
import type { AgentContextOptions } from '../../../ts/context/context-parts.js';
import type { StompError } from '../../../ts/errors.js';
import { Maasl } from '../../../ts/guard/index.js';
import { rows } from '../../../ts/storage/storage.js';
import type { TestDatabase } from '../../servers/databases.js';

const minute = 60_000;

export function agentContextSuite(where: string, start: () => Promise<TestDatabase>): void {
  let bench: TestDatabase;
  let folder: string;
  let time: number;
  const opened: { manager: AgentContextManager; maasl: Maasl }[] = [];

  const open = async (options: Partial<AgentContextOptions> = {}): Promise<AgentContextManager> => {
    const maasl = await Maasl.open({ database: await bench.connect() });
    const manager = await AgentContextManager.open({ maasl, cleanUpMs: 0, now: () => time, ...options });
    opened.push({ manager, maasl });
    return manager;
  };
  const project = (manager: AgentContextManager, name: string) => {
    mkdirSync(join(folder, name), { recursive: true });
    return manager.createProject({ name, root: join(folder, name) });
  };

  beforeEach(async () => {
    time = Date.UTC(2026, 0, 2, 3, 4, 5);
    folder = mkdtempSync(join(tmpdir(), 'stomp-context-'));
    bench = await start();
  });
  afterEach(async () => {
    for (const { manager, maasl } of opened.splice(0)) {
      await manager.close();
      await maasl.close();
    }
    await bench.close();
    rmSync(folder, { recursive: true });
  });

  describe(`sessions ${where}`, () => {
    it('live for fifteen minutes, and as long again after each heartbeat', async () => {
      const manager = await open();
      const session = await manager.startSession('A', { sessionId: 'a1', metadata: { pid: 7 } });
      expect(session).toEqual({
        session_id: 'a1',
        agent_id: 'A',
        status: 'active',
        started_at: time,
        last_active_at: time,
        expires_at: time + 15 * minute,
        reason: null,
        metadata: { pid: 7 },
      });
      time += 14 * minute;
      expect(await manager.heartbeat('a1', 'A')).toMatchObject({
        last_active_at: time,
        expires_at: time + 15 * minute,
      });
      time += 15 * minute - 1;
      expect(await manager.getSession('a1')).toMatchObject({ status: 'active' });
    });

    it('are not revived by a heartbeat once their lease is over', async () => {
      const manager = await open({ sessionTtlMs: 1000 });
      await manager.startSession('A', { sessionId: 'a1' });
      time += 1000;
      const failure = { code: 'SESSION_EXPIRED', fields: { session_id: 'a1', reason: 'lease' } };
      await expect(manager.heartbeat('a1', 'A')).rejects.toMatchObject(failure);
      expect(await manager.getSession('a1')).toMatchObject({ status: 'expired', reason: 'lease' });
      expect(await manager.listSessions({ status: 'active' })).toEqual([]);
      expect(await manager.listSessions({ status: 'expired' })).toMatchObject([
        { session_id: 'a1', status: 'expired', reason: 'lease' },
      ]);
    });

    it('are listed latest first, and by the bytes of their ids where they are of one moment', async () => {
      const manager = await open();
      for (const id of ['b', 'Z', 'a', '_']) await manager.startSession(`agent-${id}`, { sessionId: id });
      time += 1;
      await manager.startSession('A', { sessionId: 'later' });
      const ids = (await manager.listSessions()).map(({ session_id: id }) => id);
      expect(ids).toEqual(['later', 'Z', '_', 'a', 'b']);
    });

    it('outlive the process that started them', async () => {
      await (await open()).startSession('A', { sessionId: 'a1' });
      await project(await open(), 'P');
      const later = await open();
      await later.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 0 });
      expect(await later.heartbeat('a1', 'A')).toMatchObject({ status: 'active' });
    });

    it('supersede one another: an agent has one at a time', async () => {
      const [here, there] = [await open(), await open()];
      await here.startSession('A', { sessionId: 'a1' });
      await there.startSession('A', { sessionId: 'a2' });
      await expect(here.heartbeat('a1', 'A')).rejects.toMatchObject({
        code: 'SESSION_EXPIRED',
        fields: { reason: 'superseded' },
      });
      expect(await here.listSessions({ agentId: 'A', status: 'active' })).toMatchObject([
        { session_id: 'a2' },
      ]);
      const events = await here.listEvents({ agentId: 'A' });
      expect(events.map((event) => [event.event_type, event.session_id])).toEqual([
        ['session_started', 'a2'],
        ['session_expired', 'a1'],
        ['session_started', 'a1'],
      ]);
      expect(events[1]?.metadata).toEqual({ reason: 'superseded', by: 'a2' });
    });

    it('of one agent that start at once in several processes leave one alive', async () => {
      const managers = await Promise.all([open(), open(), open(), open()]);
      await Promise.all(managers.map((manager, n) => manager.startSession('A', { sessionId: `a${n}` })));
      expect(await managers[0]?.listSessions({ agentId: 'A', status: 'active' })).toHaveLength(1);
    });

    it('are one agent’s, and nobody else’s', async () => {
      const manager = await open();
      await manager.startSession('A', { sessionId: 'a1' });
      await project(manager, 'P');
      const failure = { code: 'SESSION_MISMATCH', fields: { session_agent_id: 'A' } };
      await expect(manager.setCurrentProject('B', 'P', { sessionId: 'a1' })).rejects.toMatchObject(failure);
      await expect(manager.heartbeat('a1', 'B')).rejects.toMatchObject(failure);
      await expect(manager.endSession('a1', 'B')).rejects.toMatchObject(failure);
      await expect(manager.startSession('B', { sessionId: 'a1' })).rejects.toMatchObject(failure);
      expect(await manager.getCurrentProject('B')).toMatchObject({ project: null, version: 0 });
    });

    it('end as often as one likes', async () => {
      const manager = await open();
      await manager.startSession('A', { sessionId: 'a1' });
      const ended = await manager.endSession('a1', 'A');
      expect(ended).toMatchObject({ status: 'expired', reason: 'ended' });
      time += 5;
      expect(await manager.endSession('a1', 'A')).toEqual(ended);
      const types = (await manager.listEvents({ agentId: 'A' })).map(({ event_type: type }) => type);
      expect(types).toEqual(['session_ended', 'session_started']);
    });

    it('that nobody has started are named as such', async () => {
      const manager = await open();
      const failure = { code: 'NO_SESSION', fields: { session_id: 'x' } };
      await expect(manager.heartbeat('x')).rejects.toMatchObject(failure);
      await expect(manager.endSession('x')).rejects.toMatchObject(failure);
      await expect(manager.getSession('x')).rejects.toMatchObject(failure);
      await expect(manager.setCurrentProject('A', null, { sessionId: 'x' })).rejects.toMatchObject(failure);
      for (const options of [{}, undefined] as never[]) {
        const unnamed = manager.setCurrentProject('A', null, options);
        await expect(unnamed).rejects.toMatchObject({ code: 'NO_SESSION' });
      }
    });

    it('whose lease is over are cleaned up once, and counted', async () => {
      const [here, there] = [await open({ sessionTtlMs: 1000 }), await open()];
      for (const agent of ['A', 'B', 'C']) await here.startSession(agent);
      await there.startSession('D');
      time += 1000;
      const counts = await Promise.all([here.cleanupExpired(), there.cleanupExpired()]);
      expect(counts[0] + counts[1]).toBe(3);
      expect(await here.cleanupExpired()).toBe(0);
      expect(
        (await here.listEvents({ type: 'session_expired' })).map(({ agent_id: id }) => id).sort(),
      ).toEqual(['A', 'B', 'C']);
      expect(await here.listSessions({ status: 'active' })).toMatchObject([{ agent_id: 'D' }]);
    });

    it('are cleaned up by themselves', async () => {
      const manager = await open({ sessionTtlMs: 1, cleanUpMs: 5 });
      await manager.startSession('A', { sessionId: 'a1' });
      time += 1;
      await expect.poll(() => manager.listEvents({ type: 'session_expired' })).toHaveLength(1);
    });

    it('cannot be started by one agent without end', async () => {
      const manager = await open({ sessionStartsPerMinute: 3 });
      for (let n = 0; n < 3; n++) {
        await manager.startSession('A');
        time += 1000;
      }
      await expect(manager.startSession('A')).rejects.toMatchObject({
        code: 'RATE_LIMITED',
        fields: { agent_id: 'A', limit: 3, retry_after_ms: 57_000 },
      });
      await manager.startSession('B');
      time += 57_000;
      await manager.startSession('A');
    });

    it('are not more than so many at once', async () => {
      const manager = await open({ maxActiveSessions: 2 });
      await manager.startSession('A');
      await manager.startSession('B', { sessionId: 'b1' });
      await expect(manager.startSession('C')).rejects.toMatchObject({
        code: 'TOO_MANY_SESSIONS',
        fields: { limit: 2 },
      });
      // Its own makes room.
      await manager.startSession('B', { sessionId: 'b2' });
      await manager.endSession('b2');
      await manager.startSession('C');
    });

    it('are not more than so many when they start at once in several processes', async () => {
      const managers = await Promise.all([1, 2, 3].map(() => open({ maxActiveSessions: 3 })));
      const starts = managers.flatMap((manager, i) =>
        [1, 2, 3, 4].map((n) => manager.startSession(`agent-${i}-${n}`)),
      );
      const outcomes = await Promise.allSettled(starts);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    });

    it('are of one agent when several begin one of that name at once', async () => {
      const managers = await Promise.all(['A', 'B', 'C'].map(() => open()));
      for (let n = 0; n < 5; n++) {
        const outcomes = await Promise.allSettled(
          managers.map((manager, i) => manager.startSession(`agent-${i}`, { sessionId: `s${n}` })),
        );
        const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
        expect(await managers[0]?.getSession(`s${n}`)).toMatchObject({ agent_id: `agent-${winner}` });
        const lost = { status: 'rejected', reason: { code: 'SESSION_MISMATCH' } };
        expect(outcomes.filter((_, i) => i !== winner)).toMatchObject([lost, lost]);
      }
    });

    it('may be begun anew by their agent under the name they had', async () => {
      const manager = await open();
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.endSession('a1');
      time += 1;
      expect(await manager.startSession('A', { sessionId: 'a1' })).toMatchObject({
        status: 'active',
        started_at: time,
        reason: null,
      });
      await manager.heartbeat('a1', 'A');
    });

    it('are made for those who name none, unless somebody holds one', async () => {
      const [here, there] = [await open(), await open()];
      const session = await here.implicitSession();
      expect(await there.implicitSession()).toBe(session);
      time += 10 * minute;
      expect(await there.implicitSession()).toBe(session);
      expect(await here.getSession(session)).toMatchObject({
        agent_id: 'Scribe',
        expires_at: time + 15 * minute,
      });
      time += 15 * minute;
      expect(await here.implicitSession()).not.toBe(session);
      expect(here.figures.counts().sessions_started).toBe(2);
      await here.startSession('A', { sessionId: 'a1' });
      await expect(here.implicitSession('A')).rejects.toMatchObject({ code: 'NO_SESSION' });
    });
  });

  describe(`current projects ${where}`, () => {
    it('are each agent’s own', async () => {
      const [here, there] = [await open(), await open()];
      for (const name of ['P', 'Q']) await project(here, name);
      await here.startSession('A', { sessionId: 'a1' });
      await there.startSession('B', { sessionId: 'b1' });
      await here.setCurrentProject('A', 'P', { sessionId: 'a1' });
      await there.setCurrentProject('B', 'Q', { sessionId: 'b1' });
      expect(await there.getCurrentProject('A')).toEqual({
        agent_id: 'A',
        project: 'P',
        version: 1,
        updated_at: time,
        updated_by: 'A',
        session_id: 'a1',
      });
      expect(await here.getCurrentProject('B')).toMatchObject({ project: 'Q', version: 1 });
    });

    it('are set by one of two who expect the same version', async () => {
      const managers = [await open(), await open()] as const;
      for (const name of ['P', 'Q', 'R']) await project(managers[0], name);
      await managers[0].startSession('A', { sessionId: 'a1' });
      await managers[0].setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 0 });
      const outcomes = await Promise.allSettled([
        managers[0].setCurrentProject('A', 'Q', { sessionId: 'a1', expectedVersion: 1, updatedBy: 'one' }),
        managers[1].setCurrentProject('A', 'R', { sessionId: 'a1', expectedVersion: 1, updatedBy: 'two' }),
      ]);
      const won = outcomes.find(({ status }) => status === 'fulfilled') as PromiseFulfilledResult<object>;
      const lost = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
      const current = await managers[1].getCurrentProject('A');
      expect(current).toEqual(won.value);
      expect(current.version).toBe(2);
      const told = {
        expected: 1,
        actual: 2,
        current_project: current.project,
        updated_by: current.updated_by,
        session_id: 'a1',
        updated_at: time,
      };
      expect(lost.reason).toMatchObject({
        name: 'ConflictError',
        code: 'VERSION_CONFLICT',
        status: 409,
        ...told,
        fields: told,
      });
    });

    it('stay as they are when the expected version is stale, and the conflict is on record', async () => {
      const manager = await open();
      for (const name of ['P', 'Q']) await project(manager, name);
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      const before = await manager.getCurrentProject('A');
      time += 1;
      for (const expectedVersion of [0, 2, 7]) {
        const stale = manager.setCurrentProject('A', 'Q', { sessionId: 'a1', expectedVersion });
        await expect(stale).rejects.toMatchObject({ fields: { expected: expectedVersion, actual: 1 } });
      }
      expect(await manager.getCurrentProject('A')).toEqual(before);
      expect((await manager.listEvents({ type: 'conflict_detected' }))[0]).toMatchObject({
        from_project: 'P',
        to_project: 'Q',
        expected_version: 7,
        actual_version: 1,
        success: false,
        error_message: 'VERSION_CONFLICT',
      });
      expect(manager.figures.counts()).toMatchObject({ conflicts: 3, projects_set: 1 });
    });

    it('start at version 1, and version 0 says that there is none yet', async () => {
      const manager = await open();
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      const early = manager.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 1 });
      await expect(early).rejects.toMatchObject({ fields: { actual: 0, current_project: null } });
      const first = await manager.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 0 });
      expect(first.version).toBe(1);
    });

    it('are cleared with the next version, and the way there is kept', async () => {
      const manager = await open();
      for (const name of ['P', 'Q']) await project(manager, name);
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'Q', { sessionId: 'a1' });
      const cleared = await manager.setCurrentProject('A', null, { sessionId: 'a1', expectedVersion: 2 });
      expect(cleared).toMatchObject({ project: null, version: 3 });
      const events = await manager.listEvents({ agentId: 'A', limit: 3 });
      expect(
        events.map((event) => [event.event_type, event.from_project, event.to_project, event.actual_version]),
      ).toEqual([
        ['project_cleared', 'Q', null, 3],
        ['project_switched', 'P', 'Q', 2],
        ['project_set', null, 'P', 1],
      ]);
    });

    it('cannot be set by a session whose lease is over', async () => {
      const manager = await open({ sessionTtlMs: 1000 });
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      time += 1000;
      const late = manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      await expect(late).rejects.toMatchObject({ code: 'SESSION_EXPIRED', status: 409 });
      expect(await manager.getCurrentProject('A')).toMatchObject({ version: 0 });
    });

    it('must exist', async () => {
      const manager = await open();
      await manager.startSession('A', { sessionId: 'a1' });
      const nowhere = manager.setCurrentProject('A', 'nowhere', { sessionId: 'a1' });
      await expect(nowhere).rejects.toMatchObject({ code: 'PROJECT_NOT_FOUND', status: 404 });
      expect(await manager.getCurrentProject('A')).toMatchObject({ version: 0 });
    });

    it('are none once the project is deleted; versions and events stay', async () => {
      const manager = await open();
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      await manager.deleteProject('P');
      expect(await manager.getCurrentProject('A')).toMatchObject({ project: null, version: 1 });
      const [last] = await manager.listEvents({ agentId: 'A' });
      expect(last).toMatchObject({ event_type: 'project_cleared', from_project: 'P', actual_version: 1 });
      expect(await manager.listEvents({ agentId: 'A' })).toHaveLength(3);
      await expect(manager.deleteProject('P')).rejects.toMatchObject({ code: 'PROJECT_NOT_FOUND' });
    });

    it('are cleared with an event each, whoever turns to the project while it is deleted', async () => {
      const managers = await Promise.all([1, 2, 3, 4].map(() => open()));
      const [first, ...others] = managers as [AgentContextManager, ...AgentContextManager[]];
      for (const i of others.keys()) await first.startSession(`agent-${i}`, { sessionId: `s${i}` });
      for (let n = 0; n < 10; n++) {
        await project(first, `P${n}`);
        const sets = others.map((manager, i) =>
          manager.setCurrentProject(`agent-${i}`, `P${n}`, { sessionId: `s${i}` }),
        );
        const [outcomes] = await Promise.all([Promise.allSettled(sets), first.deleteProject(`P${n}`)]);
        const cleared = (await first.listEvents({ type: 'project_cleared' }))
          .filter(({ from_project: from }) => from === `P${n}`)
          .map(({ agent_id: id }) => id);
        const set = [...others.keys()].filter((i) => outcomes[i]?.status === 'fulfilled');
        expect(cleared.sort()).toEqual(set.map((i) => `agent-${i}`));
      }
    });

    it('are set by somebody whose name every database can keep', async () => {
      const manager = await open();
      await manager.startSession('A', { sessionId: 'a1' });
      const bad = manager.setCurrentProject('A', null, { sessionId: 'a1', updatedBy: 'a\0b' });
      await expect(bad).rejects.toMatchObject({ code: 'INVALID_REQUEST', fields: { field: 'updatedBy' } });
    });

    it.each([{ before: 'x' }, { before: Number.NaN }, { type: 'other' }, { type: {} }, { agentId: '' }])(
      'have no events by %j',
      async (options) => {
        const manager = await open();
        await expect(manager.listEvents(options as never)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      },
    );

    it('have no events before the first', async () => {
      const manager = await open();
      await manager.startSession('A');
      expect(await manager.listEvents({ before: 0 })).toEqual([]);
    });

    it('are set in the end by all who try again', async () => {
      const managers = await Promise.all([open(), open(), open(), open()]);
      const first = managers[0] as AgentContextManager;
      await project(first, 'P');
      await first.startSession('A', { sessionId: 'a1' });
      const increment = (manager: AgentContextManager) =>
        manager.withRetry(
          'A',
          ({ version }) => manager.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: version }),
          { attempts: 100 },
        );
      await Promise.all(managers.flatMap((manager) => Array.from({ length: 5 }, () => increment(manager))));
      expect(await first.getCurrentProject('A')).toMatchObject({ version: 20 });
    });

    it('give up after so many attempts, and say what is current', async () => {
      const manager = await open();
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      let tries = 0;
      const stubborn = manager.withRetry(
        'A',
        () => {
          tries++;
          return manager.setCurrentProject('A', 'P', { sessionId: 'a1', expectedVersion: 9 });
        },
        { attempts: 3, pauseMs: 0 },
      );
      await expect(stubborn).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
      expect(tries).toBe(3);
      expect(manager.figures.counts()).toMatchObject({ conflicts: 3, conflicts_given_up: 1 });
    });

    it('are not changed again, nor at all, once that is cancelled', async () => {
      const manager = await open();
      const signal = AbortSignal.abort();
      let tries = 0;
      const cancelled = manager.withRetry('A', async () => tries++, { signal });
      await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(tries).toBe(0);
    });

    it('are all listed, latest first', async () => {
      const manager = await open();
      await project(manager, 'P');
      for (const agent of ['A', 'B']) {
        await manager.startSession(agent, { sessionId: agent });
        await manager.setCurrentProject(agent, 'P', { sessionId: agent });
        time += 1;
      }
      expect((await manager.listCurrentProjects()).map(({ agent_id: id }) => id)).toEqual(['B', 'A']);
    });
  });

  describe(`projects ${where}`, () => {
    it('keep what is said of them', async () => {
      const manager = await open();
      const made = await manager.createProject({
        name: 'Log & rotation',
        root: folder,
        description: 'line one\nline two',
        tags: ['a', 'b', 'a'],
        meta: { nested: { list: [1, 'two', null] } },
      });
      expect(made).toMatchObject({
        name: 'Log & rotation',
        root: folder,
        description: 'line one\nline two',
        tags: ['a', 'b'],
        meta: { nested: { list: [1, 'two', null] } },
        created_at: time,
      });
      expect(made.progress_log_path).toMatch(/\/\.stomp\/Log-rotation-[0-9a-f]{8}\/PROGRESS_LOG\.md$/);
      expect(await (await open()).getProject('Log & rotation')).toEqual(made);
      time += 5;
      const changed = await manager.updateProject('Log & rotation', { description: 'new', tags: [] });
      expect(changed).toEqual({ ...made, description: 'new', tags: [], updated_at: time });
    });

    it('do not have the state file as their log', async () => {
      const stateFile = join(folder, 'state.json');
      const manager = await open({ stateFile });
      const denied = { code: 'PATH_DENIED', fields: { file: stateFile } };
      const log = { root: folder, progressLogPath: 'state.json' };
      await expect(manager.createProject({ name: 'P', ...log })).rejects.toMatchObject(denied);
      await project(manager, 'P');
      await expect(manager.updateProject('P', log)).rejects.toMatchObject(denied);
    });

    it('are changed by several at once, each in its part', async () => {
      const [here, there] = [await open(), await open()];
      await project(here, 'P');
      for (let n = 0; n < 5; n++) {
        await Promise.all([
          here.updateProject('P', { description: `${n}` }),
          there.updateProject('P', { tags: [`${n}`] }),
        ]);
        expect(await here.getProject('P')).toMatchObject({ description: `${n}`, tags: [`${n}`] });
      }
    });

    it('are listed by name', async () => {
      const manager = await open();
      for (const name of ['b', 'a', 'Z', 'ä']) await project(manager, name);
      expect((await manager.listProjects()).map(({ name }) => name)).toEqual(['Z', 'a', 'b', 'ä']);
    });

    it('have names of their own, and logs of their own', async () => {
      const manager = await open();
      await manager.createProject({ name: 'P', root: folder, progressLogPath: 'log.md' });
      const again = manager.createProject({ name: 'P', root: folder });
      await expect(again).rejects.toMatchObject({ code: 'PROJECT_EXISTS', fields: { field: 'name' } });
      const same = manager.createProject({ name: 'Q', root: folder, progressLogPath: './log.md' });
      await expect(same).rejects.toMatchObject({
        code: 'PROJECT_EXISTS',
        fields: { field: 'progress_log_path', project: 'P' },
      });
      await project(manager, 'R');
      const moved = manager.updateProject('R', { progressLogPath: join(folder, 'log.md') });
      await expect(moved).rejects.toMatchObject({ code: 'PROJECT_EXISTS' });
    });

    it('lie within the folders that agents may work in', async () => {
      const manager = await open({ roots: [join(folder, 'in')] });
      mkdirSync(join(folder, 'in/deep'), { recursive: true });
      const denied = { code: 'PATH_DENIED' };
      await expect(manager.createProject({ name: 'P', root: folder })).rejects.toMatchObject(denied);
      const log = { name: 'P', root: 'deep', progressLogPath: '../../out.md' };
      await expect(manager.createProject(log)).rejects.toMatchObject(denied);
      expect(await manager.createProject({ name: 'P', root: 'deep' })).toMatchObject({
        root: join(folder, 'in/deep'),
      });
    });

    it.each([
      ['', 'name'],
      [' P', 'name'],
      ['a\nb', 'name'],
      ['a\0b', 'name'],
      ['x'.repeat(129), 'name'],
      ['\ud800', 'name'],
      [7, 'name'],
    ])('are not called %j', async (name, field) => {
      const manager = await open();
      const bad = manager.createProject({ name: name as string, root: folder });
      await expect(bad).rejects.toMatchObject({ code: 'INVALID_REQUEST', fields: { field } });
    });

    it.each([
      [{ root: '/does/not/exist' }, 'INVALID_REQUEST'],
      [{ root: '' }, 'INVALID_REQUEST'],
      [{ tags: [7] }, 'INVALID_REQUEST'],
      [{ meta: [] }, 'INVALID_REQUEST'],
      [{ meta: { a: 'x'.repeat(70_000) } }, 'PAYLOAD_TOO_LARGE'],
      [{ description: 'x'.repeat(5000) }, 'INVALID_REQUEST'],
      [{ colour: 'red' }, 'UNSUPPORTED_FIELD'],
    ])('refuse %j', async (options, code) => {
      const manager = await open();
      const bad = manager.createProject({ name: 'P', root: folder, ...(options as object) });
      await expect(bad).rejects.toMatchObject({ code });
      expect(await manager.listProjects()).toEqual([]);
    });

    it('that do not exist are named', async () => {
      const manager = await open();
      const failure = { code: 'PROJECT_NOT_FOUND', fields: { value: 'nowhere' } };
      await expect(manager.getProject('nowhere')).rejects.toMatchObject(failure);
      await expect(manager.updateProject('nowhere', {})).rejects.toMatchObject(failure);
      await expect(manager.deleteProject('nowhere')).rejects.toMatchObject(failure);
    });
  });

  describe(`progress logs ${where}`, () => {
    const lines = async (manager: AgentContextManager, name: string) =>
      readFileSync((await manager.getProject(name)).progress_log_path, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('['));

    it('are written by whoever names nobody, as Scribe, into what Scribe works on', async () => {
      const manager = await open();
      await project(manager, 'P');
      await expect(manager.appendEntry('too early')).rejects.toMatchObject({ code: 'PROJECT_NOT_FOUND' });
      const sessionId = await manager.implicitSession();
      await manager.setCurrentProject('Scribe', 'P', { sessionId });
      const { entries, log } = await manager.appendEntry('It works', { status: 'success', meta: { n: 1 } });
      expect(log).toMatchObject({ written: true });
      expect(entries).toMatchObject([
        {
          project: 'P',
          agent: 'Scribe',
          session_id: sessionId,
          message: 'It works',
          priority: 'medium',
          line: 1,
          ts: time,
        },
      ]);
      expect(Number(entries[0]?.token)).toBeGreaterThan(0);
      expect(await lines(manager, 'P')).toEqual([
        expect.stringMatching(
          /^\[✅\] \[2026-01-02 03:04:05 UTC\] \[Agent: Scribe\] \[Project: P\] It works \| n=1; /,
        ),
      ]);
      expect(await manager.readRecent()).toMatchObject({ total: 1, entries });
    });

    it('give back what was written, whatever is in it', async () => {
      const manager = await open();
      await project(manager, 'P');
      const message = 'a | b; c=d\nexample "quoted" \\n \u2028 [x] 🧪';
      await manager.appendEntry([message, { message: 'two', status: 'bug', tags: 'x,y' }], { project: 'P' });
      const { entries } = await manager.queryEntries({ project: 'P', message: 'EXAMPLE' });
      expect(entries).toMatchObject([{ message }]);
      expect(await lines(manager, 'P')).toHaveLength(2);
      expect(await manager.audit()).toMatchObject([{ project: 'P', ok: true, lines: 2, problems: [] }]);
    });

    it('refuse who has no session of his own, and store nothing', async () => {
      const manager = await open({ sessionTtlMs: 1000 });
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      const append = (who: object) => manager.appendEntry('x', { project: 'P', ...who });
      await append({ agentId: 'A', sessionId: 'a1' });
      expect(await append({ sessionId: 'a1' })).toMatchObject({ entries: [{ agent: 'A' }] });
      await expect(append({ agentId: 'A' })).rejects.toMatchObject({ code: 'NO_SESSION' });
      await expect(append({ agentId: 'A', sessionId: 'a2' })).rejects.toMatchObject({ code: 'NO_SESSION' });
      await expect(append({ agentId: 'B', sessionId: 'a1' })).rejects.toMatchObject({
        code: 'SESSION_MISMATCH',
      });
      time += 1000;
      await expect(append({ agentId: 'A', sessionId: 'a1' })).rejects.toMatchObject({
        code: 'SESSION_EXPIRED',
      });
      expect(await manager.readRecent({ project: 'P' })).toMatchObject({ total: 2 });
      expect(await lines(manager, 'P')).toHaveLength(2);
    });

    it.each([
      { agentId: '' },
      { sessionId: '' },
      { agentId: '', sessionId: 'a1' },
      { agentId: null, sessionId: 'a1' },
    ])('take no empty name for that of somebody else: %j', async (who) => {
      const manager = await open();
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      const bad = manager.appendEntry('x', { project: 'P', ...(who as object) });
      await expect(bad).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      expect(await manager.readRecent({ project: 'P' })).toMatchObject({ total: 0 });
    });

    it('are read with an object of options, or none', async () => {
      const manager = await open();
      for (const options of [null, 'P', ['P']] as unknown as undefined[]) {
        const refused = { code: 'INVALID_REQUEST', fields: { field: 'options' } };
        await expect(manager.readRecent(options)).rejects.toMatchObject(refused);
        await expect(manager.queryEntries(options)).rejects.toMatchObject(refused);
      }
    });

    it('have an entry once, however often it comes', async () => {
      const managers = [await open(), await open()] as const;
      await project(managers[0], 'P');
      const entry = { id: 'e1', project: 'P' };
      const results = await Promise.all(managers.map((manager) => manager.appendEntry('once', entry)));
      expect(results.map(({ duplicates }) => duplicates).sort()).toEqual([[], ['e1']]);
      expect(results[0]?.entries).toEqual(results[1]?.entries);
      await expect(managers[1].appendEntry('twice', entry)).rejects.toMatchObject({ code: 'ENTRY_EXISTS' });
      expect(await lines(managers[0], 'P')).toHaveLength(1);
    });

    it('name the project that does not exist, instead of reading another one', async () => {
      const manager = await open();
      await project(manager, 'P');
      const sessionId = await manager.implicitSession();
      await manager.setCurrentProject('Scribe', 'P', { sessionId });
      await manager.appendEntry('x');
      const failure = { code: 'PROJECT_NOT_FOUND', fields: { value: 'Q' } };
      await expect(manager.readRecent({ project: 'Q' })).rejects.toMatchObject(failure);
      await expect(manager.queryEntries({ project: 'Q' })).rejects.toMatchObject(failure);
      await expect(manager.appendEntry('y', { project: 'Q' })).rejects.toMatchObject(failure);
      await expect(manager.audit('Q')).rejects.toMatchObject(failure);
    });

    it('outlive their project, and go on when it is created again; purged ones do not', async () => {
      const manager = await open();
      const { progress_log_path: path } = await project(manager, 'P');
      await manager.appendEntry(['one', 'two'], { project: 'P' });
      await manager.deleteProject('P');
      await expect(manager.readRecent({ project: 'P' })).rejects.toMatchObject({ code: 'PROJECT_NOT_FOUND' });
      await project(manager, 'P');
      expect(await manager.appendEntry('three', { project: 'P' })).toMatchObject({ entries: [{ line: 3 }] });
      expect(await lines(manager, 'P')).toHaveLength(3);
      await manager.deleteProject('P', { purge: true });
      expect(existsSync(path)).toBe(false);
      await project(manager, 'P');
      expect(await manager.readRecent({ project: 'P' })).toMatchObject({ total: 0 });
      expect(await manager.queryEntries({ project: 'P', message: 'two' })).toMatchObject({ total: 0 });
      expect(await manager.appendEntry('anew', { project: 'P' })).toMatchObject({ entries: [{ line: 1 }] });
      expect(await manager.doctor()).toMatchObject({ ok: true, findings: [] });
    });

    it('get the lines that a killed process has not written as soon as they are opened again', async () => {
      const manager = await open();
      const { progress_log_path: path } = await project(manager, 'P');
      await manager.appendEntry(['one', 'two'], { project: 'P' });
      const whole = readFileSync(path, 'utf8');
      await manager.close();
      const storage = await bench.connect();
      // Rows were stored, and of the line that follows a part was written.
      const first = whole.indexOf('\n', whole.indexOf('\n') + 1) + 1;
      await storage.write(() => rows('UPDATE progress_logs SET written_line = 1, bytes = ?', first));
      truncateSync(path, first + 30);
      const again = await open();
      expect(readFileSync(path, 'utf8')).toBe(whole);
      expect(await again.audit()).toMatchObject([{ ok: true, lines: 2 }]);
    });

    it('that cannot be written keep nobody from opening the others', async () => {
      const manager = await open();
      const { progress_log_path: path } = await project(manager, 'P');
      mkdirSync(path, { recursive: true });
      expect(await manager.appendEntry('one', { project: 'P' })).toMatchObject({ log: { written: false } });
      const problems: StompError[] = [];
      const again = await open({ onProblem: (problem) => problems.push(problem) });
      expect(problems).toMatchObject([{ code: 'LOG_UNWRITABLE' }]);
      rmdirSync(path);
      expect(await again.appendEntry('two', { project: 'P' })).toMatchObject({ log: { written: true } });
      expect(await lines(again, 'P')).toHaveLength(2);
    });

    it('are written nowhere else, whatever becomes of their folder', async () => {
      const root = join(folder, 'root');
      const elsewhere = join(folder, 'elsewhere');
      for (const one of [root, elsewhere]) mkdirSync(one);
      const manager = await open({ roots: [root] });
      const { progress_log_path: path } = await manager.createProject({ name: 'P' });
      await manager.appendEntry('one', { project: 'P' });
      rmSync(dirname(path), { recursive: true });
      symlinkSync(elsewhere, dirname(path));
      const { log } = await manager.appendEntry('two', { project: 'P' });
      expect(log).toMatchObject({ written: false, error: { code: 'LOG_UNWRITABLE' } });
      expect(readdirSync(elsewhere)).toEqual([]);
      rmSync(dirname(path));
      expect(await manager.appendEntry('three', { project: 'P' })).toMatchObject({ log: { written: true } });
      expect(await lines(manager, 'P')).toHaveLength(3);
    });

    it('are written below the root that their project has by now', async () => {
      const manager = await open();
      await project(manager, 'P');
      mkdirSync(join(folder, 'Q'));
      const progressLogPath = join(folder, 'Q/logs/LOG.md');
      await manager.updateProject('P', { progressLogPath });
      expect(await manager.appendEntry('one', { project: 'P' })).toMatchObject({ log: { written: false } });
      await manager.updateProject('P', { root: join(folder, 'Q'), progressLogPath });
      expect(await manager.appendEntry('two', { project: 'P' })).toMatchObject({ log: { written: true } });
      expect(await lines(manager, 'P')).toHaveLength(2);
    });

    it('take nothing more once their project is purged', async () => {
      const manager = await open();
      const { progress_log_path: path } = await project(manager, 'P');
      await manager.appendEntry('one', { project: 'P' });
      const log = [{ resourceClass: 'CRIT_CODE' as const, identifier: path }];
      const waiting = await manager.maasl.callWithStompGuard(
        async () => {
          const deleted = manager.deleteProject('P', { purge: true });
          await setTimeout(100);
          const late = manager.appendEntry('two', { project: 'P' }).catch((error: unknown) => error);
          await setTimeout(100);
          return { deleted, late };
        },
        log,
        { intent: 'hold_log', agentId: 'H', sessionId: 'h1' },
      );
      await waiting.deleted;
      expect(await waiting.late).toMatchObject({ code: 'PROJECT_NOT_FOUND' });
      expect(existsSync(path)).toBe(false);
      expect(await manager.queryEntries({ scope: 'all' })).toMatchObject({ total: 0 });
    });

    it('purged with their project take no file along that was there before them', async () => {
      const manager = await open();
      const path = join(folder, 'notes.md');
      writeFileSync(path, 'my notes\n');
      await manager.createProject({ name: 'P', root: folder, progressLogPath: path });
      await manager.deleteProject('P', { purge: true });
      await manager.createProject({ name: 'P', root: folder, progressLogPath: path });
      await manager.appendEntry('x', { project: 'P' });
      await manager.deleteProject('P', { purge: true });
      expect(readFileSync(path, 'utf8')).toMatch(/^my notes\n/);
    });

    it('take one message or a list of up to a thousand, all or none', async () => {
      const manager = await open();
      await project(manager, 'P');
      const append = (items: unknown, options = {}) =>
        manager.appendEntry(items as string[], { project: 'P', ...options });
      await expect(append([])).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      await expect(append(['ok', ''])).rejects.toMatchObject({ fields: { index: 1 } });
      await expect(append(['a', 'b'], { id: 'x' })).rejects.toMatchObject({ fields: { field: 'id' } });
      await expect(append('x'.repeat(65_537))).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
      await expect(append('x', { status: 'great' })).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
      await expect(append('x', { colour: 'red' })).rejects.toMatchObject({ code: 'UNSUPPORTED_FIELD' });
      expect(await manager.readRecent({ project: 'P' })).toMatchObject({ total: 0 });
      const many = Array.from({ length: 1000 }, (_, n) => `entry ${n}`);
      expect((await append(many, { category: 'all' })).entries[999]).toMatchObject({
        line: 1000,
        category: 'all',
      });
    });
  });

  it.each([{ roots: 'folder' }, { roots: [5] }, { stateFile: 5 }])(
    `a context ${where} is not opened with %j`,
    async (options) => {
      await expect(open(options as never)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    },
  );

  describe(`the state file ${where}`, () => {
    const stateFile = () => join(folder, '.stomp/state.json');
    const state = () => JSON.parse(readFileSync(stateFile(), 'utf8'));

    it('says what the database says, after each change', async () => {
      const manager = await open({ stateFile: stateFile() });
      for (const name of ['P', 'Q']) await project(manager, name);
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      expect(state()).toMatchObject({
        current: { A: { project: 'P', version: 1 } },
        recent_projects: ['P'],
      });
      const before = readFileSync(stateFile(), 'utf8');
      const stale = manager.setCurrentProject('A', 'Q', { sessionId: 'a1', expectedVersion: 0 });
      await expect(stale).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
      expect(readFileSync(stateFile(), 'utf8')).toBe(before);
      await manager.deleteProject('P');
      expect(await manager.verify()).toEqual([]);
      expect(state()).toMatchObject({ current: { A: { project: null, version: 1 } } });
    });

    it('follows a burst of changes, and none of them waits for it', async () => {
      const manager = await open({ stateFile: stateFile() });
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      for (let n = 0; n < 20; n++) await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      await expect.poll(state).toMatchObject({ current: { A: { version: 20 } } });
      await manager.setCurrentProject('A', null, { sessionId: 'a1' });
      await manager.close();
      expect(state()).toMatchObject({ current: { A: { project: null, version: 21 } } });
    });

    it('is made again when it is lost or broken, and decides nothing', async () => {
      const problems: string[] = [];
      const manager = await open({ stateFile: stateFile(), onProblem: ({ code }) => problems.push(code) });
      await project(manager, 'P');
      await manager.startSession('A', { sessionId: 'a1' });
      await manager.setCurrentProject('A', 'P', { sessionId: 'a1' });
      writeFileSync(stateFile(), '{"format":1,"current":{"A":{"project":"Z","version":9}}}');
      expect(await manager.getCurrentProject('A')).toMatchObject({ project: 'P', version: 1 });
      expect(await manager.verify()).toMatchObject([{ subject: 'A' }, { subject: 'recent_projects' }]);
      expect(await manager.doctor({ repair: true })).toMatchObject({ ok: true, repaired: 2 });
      expect(await manager.verify()).toEqual([]);
      writeFileSync(stateFile(), '{"half');
      await manager.setCurrentProject('A', null, { sessionId: 'a1', expectedVersion: 1 });
      await expect.poll(() => problems).toHaveLength(1);
      expect(state()).toMatchObject({ current: { A: { project: null, version: 2 } } });
      expect(problems).toEqual(['STATE_INVALID']);
    });

    it('is no file of another program, by whatever mistake', async () => {
      const manager = open({ stateFile: join(folder, 'passwd') });
      await expect(manager).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        fields: { field: 'stateFile' },
      });
      const other = join(folder, 'package.json');
      writeFileSync(other, '{"name":"x"}');
      const problems: string[] = [];
      await open({ stateFile: other, onProblem: ({ code }) => problems.push(code) });
      expect(problems).toEqual(['STATE_INVALID']);
      expect(readFileSync(other, 'utf8')).toBe('{"name":"x"}');
    });

    it('of before there were agents becomes that of Scribe', async () => {
      mkdirSync(join(folder, '.stomp'));
      const old = {
        current_project: 'Old',
        projects: { Old: { name: 'Old', root: folder } },
        colour: 'blue',
      };
      writeFileSync(stateFile(), JSON.stringify(old));
      const manager = await open({ stateFile: stateFile() });
      expect(await manager.getCurrentProject('Scribe')).toMatchObject({ project: 'Old', version: 1 });
      expect(state()).toMatchObject({ colour: 'blue', current: { Scribe: { project: 'Old' } } });
      expect(state()).not.toMatchObject({ current_project: 'Old' });
      await open({ stateFile: stateFile() });
      expect(await manager.getCurrentProject('Scribe')).toMatchObject({ version: 1 });
    });

    it('that is not named is not compared', async () => {
      await expect((await open()).verify()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    });
  });
}
