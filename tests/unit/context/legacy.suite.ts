import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrateLegacyState } from '../../../ts/context/legacy.js';
import { StateMirror } from '../../../ts/context/mirror.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { all, type Bench, run, setProject } from './bench.js';

export function legacySuite(where: string, start: () => Bench): void {
  describe(`migration of a global project ${where}`, () => {
    let bench: Bench;
    let storage: Storage;
    let home: string;
    let path: string;

    const folder = (name: string) => {
      const made = join(home, name);
      mkdirSync(made, { recursive: true });
      return made;
    };
    const write = (state: unknown) =>
      writeFileSync(path, typeof state === 'string' ? state : JSON.stringify(state));
    const state = () => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    const copies = () => readdirSync(dirname(path)).filter((name) => name.includes('.legacy-'));
    const migrate = (of = storage) => migrateLegacyState({ storage: of, path, now: () => 1_700_000_000_123 });
    const everything = async () => ({
      projects: await all(storage, 'SELECT * FROM projects ORDER BY name'),
      agents: await all(storage, 'SELECT * FROM agent_projects'),
      sessions: await all(storage, 'SELECT * FROM agent_sessions'),
      events: await all(storage, 'SELECT * FROM agent_project_events ORDER BY id'),
    });
    const nothing = { projects: [], agents: [], sessions: [], events: [] };

    beforeEach(async () => {
      bench = start();
      storage = await bench.open();
      home = join(bench.folder, 'home');
      path = join(folder('.stomp'), 'state.json');
    });
    afterEach(() => bench.close());

    const usual = () => ({
      current_project: 'web',
      projects: {
        web: {
          name: 'web',
          root: folder('web'),
          progress_log: join(home, 'web', 'docs', 'PROGRESS_LOG.md'),
          docs: { plan: 'PLAN.md' },
          description: 'The site',
          tags: ['ui'],
        },
        api: { name: 'api', root: folder('api') },
      },
      recent_projects: ['web', 'api'],
      recent_tools: ['append_entry'],
      last_activity_at: '2025-10-24T00:00:00Z',
    });

    it('moves it to Scribe under a session of its own, with the projects of the file', async () => {
      const before = JSON.stringify(usual());
      write(before);
      const migration = await migrate();
      expect(migration).toMatchObject({
        agent_id: 'Scribe',
        current_project: 'web',
        projects_created: 2,
        skipped: [],
      });
      const { projects, agents, sessions, events } = await everything();
      const log = join(home, 'web', 'docs', 'PROGRESS_LOG.md');
      expect(projects).toMatchObject([
        {
          name: 'api',
          root: join(home, 'api'),
          progress_log_path: join(home, 'api/.stomp/api/PROGRESS_LOG.md'),
        },
        { name: 'web', progress_log_path: log, description: 'The site', tags: '["ui"]' },
      ]);
      expect(JSON.parse(String(projects[1]?.meta))).toEqual({
        legacy: { docs: { plan: 'PLAN.md' }, progress_log: log },
      });
      const session_id = migration?.session_id;
      expect(agents).toMatchObject([{ agent_id: 'Scribe', project_name: 'web', version: 1n, session_id }]);
      expect(sessions).toMatchObject([
        { id: session_id, agent_id: 'Scribe', status: 'expired', reason: 'ended' },
      ]);
      expect(JSON.parse(String(sessions[0]?.metadata))).toMatchObject({ kind: 'legacy_state', file: path });
      expect(events.map(({ event_type }) => event_type)).toEqual([
        'session_started',
        'project_set',
        'session_ended',
      ]);
      expect(events[1]).toMatchObject({
        to_project: 'web',
        expected_version: 0n,
        actual_version: 1n,
        success: 1n,
      });
      const { current_project: _gone, ...rest } = usual();
      expect(state()).toEqual(rest);
      expect(copies()).toEqual(['state.json.legacy-2023-11-14T221320123Z']);
      expect(readFileSync(String(migration?.backup), 'utf8')).toBe(before);
      expect(statSync(String(migration?.backup)).mode & 0o777).toBe(0o600);
    });

    it('changes nothing at the second start', async () => {
      write(usual());
      await migrate();
      const [before, file] = [await everything(), readFileSync(path, 'utf8')];
      expect(await migrate()).toBeNull();
      expect(await everything()).toEqual(before);
      expect(readFileSync(path, 'utf8')).toBe(file);
      expect(copies()).toHaveLength(1);
    });

    it('happens once when several start at once', async () => {
      write(usual());
      const storages = [storage, await bench.open(), await bench.open(), await bench.open()];
      const outcomes = await Promise.all(storages.map((each) => migrate(each)));
      expect(outcomes.some((outcome) => outcome !== null)).toBe(true);
      const { agents, sessions, events } = await everything();
      expect([agents.length, sessions.length, events.length]).toEqual([1, 1, 3]);
      expect(copies()).toHaveLength(1);
      expect(state()).not.toHaveProperty('current_project');
    });

    it('is completed when it was cut off before the file was changed, also one that others have written since', async () => {
      const before = JSON.stringify(usual());
      write(before);
      const migration = await migrate();
      await setProject(storage, 'Scribe', 'api');
      write(before);
      await new StateMirror({ storage, path }).update();
      expect(state()).toHaveProperty('current_project', 'web');
      const rows = await everything();
      expect(await migrate()).toEqual(migration);
      expect(await everything()).toEqual(rows);
      expect(state()).not.toHaveProperty('current_project');
      expect(state()).toHaveProperty('current.Scribe.project', 'api');
      expect(copies()).toHaveLength(1);
    });

    it('leaves what Scribe has chosen itself', async () => {
      await setProject(storage, 'Scribe', null);
      write(usual());
      const before = await everything();
      expect(await migrate()).toBeNull();
      expect(await everything()).toEqual(before);
      expect(state()).toEqual(usual());
      expect(copies()).toEqual([]);
    });

    it.each([
      [{}],
      [{ current_project: null }],
      [{ current_project: '' }],
      [{ format: 2, current_project: 'a' }],
    ])('does nothing where there is no global project: %j', async (content) => {
      write(content);
      expect(await migrate()).toBeNull();
      expect(await everything()).toEqual(nothing);
      expect(state()).toEqual(content);
    });

    it('does nothing where there is no file', async () => {
      expect(await migrate()).toBeNull();
      expect(existsSync(path)).toBe(false);
    });

    it('makes a project where the file does not say what it is, at the folder of the file', async () => {
      write({ current_project: { name: 'lost & found' }, projects: ['no', 'object'] });
      await migrate();
      expect(await all(storage, 'SELECT name, root FROM projects')).toEqual([
        { name: 'lost & found', root: home },
      ]);
    });

    it('keeps a project that is there already as it is', async () => {
      await run(
        storage,
        "INSERT INTO projects VALUES ('web', '/elsewhere', '/elsewhere/log.md', 'mine', '[]', '{}', 1, 1)",
      );
      write(usual());
      expect(await migrate()).toMatchObject({ projects_created: 1 });
      expect(await all(storage, "SELECT root, description FROM projects WHERE name = 'web'")).toEqual([
        { root: '/elsewhere', description: 'mine' },
      ]);
    });

    it('takes of hostile projects what can be used, and says what it leaves out', async () => {
      write({
        current_project: 'web',
        projects: {
          web: {
            root: 7,
            description: `x${'😀'.repeat(5000)}`,
            tags: { a: 1 },
            progress_log: '../../../etc/log.md',
          },
          'two\nlines': { root: folder('a') },
          relative: { root: 'a' },
          gone: { root: join(home, 'gone') },
          text: 'text',
          nul: { root: '/a\0b' },
          outside: { root: folder('outside'), progress_log: join(home, 'victim.md') },
          shell: { root: folder('shell'), progress_log: '.bashrc' },
          same: { root: folder('shared'), progress_log: 'log.md', tags: ['a', 3], description: 'a\0b' },
          again: { root: folder('shared'), progress_log: 'log.md' },
          ['__proto__x']: { root: folder('proto'), nested: JSON.parse('{"__proto__": {"polluted": true}}') },
        },
      });
      const migration = await migrate();
      expect(migration?.skipped.map(({ name }) => name).sort()).toEqual([
        'gone',
        'nul',
        'relative',
        'text',
        'two\nlines',
      ]);
      expect(migration?.skipped.every(({ reason }) => reason.length > 10)).toBe(true);
      const found = await all(storage, 'SELECT name, progress_log_path FROM projects ORDER BY name');
      const logs = Object.fromEntries(found.map((row) => [row.name, row.progress_log_path]));
      expect(logs).toEqual({
        __proto__x: join(home, 'proto/.stomp/__proto__x/PROGRESS_LOG.md'),
        again: join(home, 'shared/.stomp/again/PROGRESS_LOG.md'),
        outside: join(home, 'outside/.stomp/outside/PROGRESS_LOG.md'),
        same: join(home, 'shared/log.md'),
        shell: join(home, 'shell/.stomp/shell/PROGRESS_LOG.md'),
        web: join(home, '.stomp/web/PROGRESS_LOG.md'),
      });
      const [web] = await all(storage, "SELECT description FROM projects WHERE name = 'web'");
      expect(web?.description).toBe(`x${'😀'.repeat(2047)}`);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    });

    it.each([
      ['{"current_project": "web"', 'no JSON'],
      ['["web"]', 'no JSON object'],
      ['{"current_project": 7}', 'no name'],
      ['{"current_project": "two\\nlines"}', 'no name'],
    ])('refuses %s and leaves it as it is', async (text, problem) => {
      write(text);
      await expect(migrate()).rejects.toMatchObject({
        code: 'STATE_INVALID',
        message: expect.stringContaining(problem),
        fields: { file: path },
      });
      expect(await everything()).toEqual(nothing);
      expect(readFileSync(path, 'utf8')).toBe(text);
      expect(copies()).toEqual([]);
    });

    it('changes nothing when the file cannot be copied', async () => {
      write(usual());
      mkdirSync(`${path}.tmp/in the way`, { recursive: true });
      await expect(migrate()).rejects.toMatchObject({ code: 'INTERNAL_ERROR', fields: { file: path } });
      expect(await everything()).toEqual(nothing);
      expect(state()).toEqual(usual());
    });
  });
}
