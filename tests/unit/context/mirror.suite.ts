import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateMirror } from '../../../ts/context/mirror.js';
import type { State } from '../../../ts/context/state-file.js';
import type { StompError } from '../../../ts/errors.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { addProject, all, type Bench, run, setProject, turnTo } from './bench.js';

export function mirrorSuite(where: string, start: () => Bench): void {
  describe(`the mirror ${where}`, () => {
    let bench: Bench;
    let storage: Storage;
    let path: string;
    let problems: StompError[];
    let mirror: StateMirror;
    let now = 1000;
    const mirrors: StateMirror[] = [];

    const open = (of: Storage = storage) => {
      const made = new StateMirror({
        storage: of,
        path,
        now: () => now,
        onProblem: (problem) => problems.push(problem),
      });
      mirrors.push(made);
      return made;
    };
    const state = () => JSON.parse(readFileSync(path, 'utf8')) as State & Record<string, unknown>;
    const write = (text: string) => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    };

    beforeEach(async () => {
      bench = start();
      storage = await bench.open();
      path = join(bench.folder, '.stomp', 'state.json');
      problems = [];
      mirror = open();
      for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await addProject(storage, name);
    });
    afterEach(async () => {
      for (const made of mirrors.splice(0)) await made.close();
      await bench.close();
    });

    it('says what each agent works on, and at which version', async () => {
      await setProject(storage, 'A', 'a', 5);
      await setProject(storage, 'B', 'b', 6);
      await setProject(storage, 'B', null, 7);
      await mirror.update();
      expect(state()).toEqual({
        format: 1,
        current: {
          A: { project: 'a', version: 1, updated_at: 5 },
          B: { project: null, version: 2, updated_at: 7 },
        },
        recent_projects: ['b', 'a'],
        recent_tools: [],
        updated_at: 1000,
      });
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readdirSync(dirname(path))).toEqual(['.gitignore', 'state.json']);
    });

    it('holds agents by whatever names they have', async () => {
      await setProject(storage, '__proto__', 'a');
      await setProject(storage, 'constructor', 'b');
      await mirror.update();
      expect(readFileSync(path, 'utf8')).toContain('"__proto__"');
      expect(Object.keys(state().current).sort()).toEqual(['__proto__', 'constructor']);
      expect(await mirror.verify()).toEqual([]);
    });

    it('lists the latest five projects, latest first, each once, and none that is deleted', async () => {
      for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'c', 'f']) await setProject(storage, 'A', name);
      await mirror.update();
      expect(state().recent_projects).toEqual(['f', 'c', 'e', 'd', 'b']);
      await run(storage, "DELETE FROM projects WHERE name = 'c'");
      await mirror.update();
      expect(state().recent_projects).toEqual(['f', 'e', 'd', 'b', 'a']);
    });

    it('lists the latest ten tools, latest first, of all processes', async () => {
      const other = open(await bench.open());
      for (let n = 0; n < 8; n++) {
        now++;
        mirror.toolUsed(`mine ${n}`, 'A');
        now++;
        other.toolUsed(`theirs ${n}`, 'B');
      }
      now++;
      mirror.toolUsed('mine 7', 'A');
      await mirror.update();
      await other.update();
      const tools = state().recent_tools;
      expect(tools).toHaveLength(10);
      expect(tools.slice(0, 3).map(({ name }) => name)).toEqual(['mine 7', 'theirs 7', 'theirs 6']);
      expect(tools[0]).toEqual({ name: 'mine 7', agent_id: 'A', at: now });
      expect(tools.map(({ at }) => at)).toEqual(tools.map(({ at }) => at).sort((a, b) => b - a));
    });

    it('writes the use of a tool by itself before long, and when it is closed', async () => {
      mirror.toolUsed('append_entry', 'A');
      await expect.poll(() => existsSync(path)).toBe(true);
      mirror.toolUsed('read_recent', 'A');
      await mirror.close();
      expect(
        state()
          .recent_tools.map(({ name }) => name)
          .sort(),
      ).toEqual(['append_entry', 'read_recent']);
    });

    it('is as new as each call that was made while it was at work', async () => {
      const updates = Array.from({ length: 50 }, async (_, n) => {
        await setProject(storage, `agent ${n}`, 'a');
        await mirror.update();
        return `agent ${n}` in state().current;
      });
      expect(await Promise.all(updates)).toEqual(updates.map(() => true));
      expect(problems).toEqual([]);
    });

    it('makes one of calls that come while one is at work', async () => {
      let writes = 0;
      const counting: Storage = Object.create(storage, {
        write: {
          value: (work: never) => {
            writes++;
            return storage.write(work);
          },
        },
      });
      const counted = open(counting);
      await Promise.all(Array.from({ length: 100 }, () => counted.update()));
      expect(writes).toBeLessThanOrEqual(2);
    });

    it('is never older than what was committed, whoever of several writes last', async () => {
      const others = await Promise.all([1, 2, 3].map(async () => open(await bench.open())));
      const everybody = [mirror, ...others];
      let last = 0;
      for (let n = 0; n < 20; n++) {
        await Promise.all(
          everybody.map(async (each, i) => {
            await setProject(storage, `agent ${i}`, 'a');
            await each.update();
            const { current } = state();
            const sum = Object.values(current).reduce((total, { version }) => total + version, 0);
            expect(current[`agent ${i}`]?.version).toBe(n + 1);
            expect(sum).toBeGreaterThanOrEqual(last);
            last = sum;
          }),
        );
      }
      expect(await mirror.verify()).toEqual([]);
    });

    it('is made anew when it was deleted', async () => {
      await setProject(storage, 'A', 'a');
      await mirror.update();
      rmSync(path);
      expect(await mirror.verify()).toEqual([{ subject: path, problem: 'There is no state file.' }]);
      await mirror.rebuild();
      expect(state().current.A?.project).toBe('a');
      expect(await mirror.verify()).toEqual([]);
    });

    it.each(['', '{"format": 1,', '[]', 'null', '{"format":"x"}', '\xff'])(
      'is made anew when it is corrupt, and the corrupt one kept: %j',
      async (text) => {
        await setProject(storage, 'A', 'a');
        write(text);
        await mirror.update();
        await mirror.update();
        expect(state().current.A?.version).toBe(1);
        expect(readFileSync(`${path}.corrupt`, 'utf8')).toBe(text);
        expect(problems).toHaveLength(1);
        expect(problems[0]).toMatchObject({
          code: 'STATE_INVALID',
          message: expect.stringContaining('.corrupt'),
        });
      },
    );

    it('leaves a file of a later version alone, and says so once', async () => {
      write('{"format": 2, "current": "something else"}');
      await mirror.update();
      await mirror.update();
      expect(readFileSync(path, 'utf8')).toBe('{"format": 2, "current": "something else"}');
      expect(problems).toMatchObject([{ code: 'STATE_INVALID', fields: { format: 2 } }]);
      expect(await mirror.verify()).toMatchObject([{ subject: path }]);
      await expect(mirror.rebuild()).rejects.toMatchObject({ code: 'STATE_INVALID' });
    });

    it('keeps what it does not know of a file of before there were formats', async () => {
      write(
        JSON.stringify({
          current_project: 'old',
          projects: { old: { root: '/old' } },
          recent_tools: ['a tool', { name: 'b tool', ts: '2026-01-01T00:00:00Z' }, 7],
          extra: [1],
        }),
      );
      await setProject(storage, 'A', 'a');
      await mirror.update();
      expect(state()).toMatchObject({
        current_project: 'old',
        projects: { old: { root: '/old' } },
        extra: [1],
        current: { A: { project: 'a' } },
        recent_tools: [
          { name: 'b tool', agent_id: 'Scribe', at: Date.UTC(2026, 0, 1) },
          { name: 'a tool', agent_id: 'Scribe', at: 0 },
        ],
      });
      expect(problems).toEqual([]);
    });

    it('says once that it cannot be written, and breaks nothing', async () => {
      write('');
      rmSync(dirname(path), { recursive: true });
      writeFileSync(dirname(path), 'a file where its folder should be');
      await setProject(storage, 'A', 'a');
      await mirror.update();
      await mirror.update();
      expect(problems).toMatchObject([{ code: 'INTERNAL_ERROR', fields: { file: path } }]);
      expect(await all(storage, 'SELECT project_name FROM agent_projects')).toEqual([{ project_name: 'a' }]);
      rmSync(dirname(path));
      await mirror.update();
      expect(state().current.A?.project).toBe('a');
    });

    it('names each difference between file and database', async () => {
      await storage.write(function* () {
        yield* turnTo('A', 'a', 5);
        yield* turnTo('B', 'b', 6);
      });
      await mirror.update();
      const { current, ...rest } = state();
      write(
        JSON.stringify({
          ...rest,
          current: { A: current.A, B: { ...current.B, version: 7 }, C: 'x' },
          recent_projects: ['z'],
        }),
      );
      const drift = await mirror.verify();
      expect(drift.map(({ subject }) => subject)).toEqual(['B', 'C', 'recent_projects']);
      expect(drift[0]?.problem).toContain('version 7');
      await mirror.rebuild();
      expect(await mirror.verify()).toEqual([]);
    });
  });
}
