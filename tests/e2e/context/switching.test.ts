/** Agents of several processes that switch projects, some of them killed meanwhile: no change is lost or made twice. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentContextManager } from '../../../ts/context/agent-context-manager.js';
import { openStorage } from '../../../ts/storage/open.js';
import { rows } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { type Said, Switcher, type SwitcherSetup } from './switcher-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const processes = 4;

/** Starts it until it comes to its end; at first it is killed at random. */
async function restarted(start: () => Switcher, kills: number): Promise<Said[]> {
  const said: Said[] = [];
  let ended = false;
  for (let n = 0; !ended; n++) {
    const switcher = start();
    const killer = n < kills ? setTimeout(() => void switcher.kill(), 400 + Math.random() * 400) : undefined;
    ended = await switcher.end();
    clearTimeout(killer);
    said.push(...switcher.said);
  }
  return said;
}

/** Every n-th of a list, for so many processes. */
function shares<T>(list: readonly T[]): T[][] {
  return Array.from({ length: processes }, (_, n) => list.filter((_item, i) => i % processes === n));
}

async function untilReady(racer: Switcher): Promise<void> {
  await expect.poll(() => racer.said.length, { timeout: 60_000 }).toBe(1);
}

function switching(where: string, databaseIn: (folder: string) => string): void {
  describe(`on ${where}`, () => {
    let folder: string;
    let database: string;
    let manager: AgentContextManager;
    const running = new Set<Switcher>();

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'stomp-switching-'));
      database = databaseIn(folder);
      manager = await AgentContextManager.open({ database });
      for (const name of ['P', 'Q', 'R']) {
        mkdirSync(join(folder, name));
        // A server keeps what the test before has left.
        await manager.deleteProject(name).catch(() => undefined);
        await manager.createProject({ name, root: join(folder, name) });
      }
    });
    afterEach(async () => {
      for (const switcher of running) await switcher.kill();
      running.clear();
      await manager.close();
      rmSync(folder, { recursive: true });
    });

    const start = (setup: Omit<SwitcherSetup, 'database'>): Switcher => {
      const switcher = new Switcher({ database, ...setup });
      running.add(switcher);
      return switcher;
    };
    const finish = (setup: Omit<SwitcherSetup, 'database'>, kills: number) =>
      restarted(() => start(setup), kills);

    it('one of several processes that expect version 1 wins, and a fresh read shows 2', async () => {
      await manager.startSession('racer', { sessionId: 'racer-1' });
      const set = { sessionId: 'racer-1' };
      const first = await manager.setCurrentProject('racer', 'P', set);
      const race = { agentId: 'racer', ...set, expectedVersion: first.version };
      const racers = ['Q', 'R', 'Q', 'R'].map((project) => start({ race: { ...race, project } }));
      await Promise.all(racers.map(untilReady));
      for (const racer of racers) racer.child.kill('SIGUSR2');
      expect(await Promise.all(racers.map((racer) => racer.end()))).toEqual([true, true, true, true]);
      const said = racers.map((racer) => racer.said[1]);
      const won = said.filter((line) => line?.won);
      expect(won).toHaveLength(1);
      const current = await manager.getCurrentProject('racer');
      expect(current).toEqual(won[0]?.won);
      expect(current.version).toBe(first.version + 1);
      for (const line of said.filter((each) => each?.lost)) {
        expect(line).toMatchObject({
          lost: 'VERSION_CONFLICT',
          fields: { expected: first.version, actual: current.version, current_project: current.project },
        });
      }
    });

    it(
      'a thousand sessions and sixty-four agents that switch lose nothing, whoever is killed',
      async () => {
        const switches = 60 * scale;
        const agents = Array.from({ length: 64 }, (_, n) => `agent-${n}`);
        const others = Array.from({ length: 936 }, (_, n) => `idle-${n}`);
        await manager.startSession('shared', { sessionId: 'shared-1' });
        const contested = { agentId: 'shared', sessionId: 'shared-1', times: 25 };
        const crews = [
          ...shares(agents).map((own) => finish({ agents: own, switches }, 2)),
          ...shares(others).map((own) => finish({ agents: own, switches: 0 }, 1)),
          finish({ contested }, 0),
          finish({ contested }, 0),
        ];
        const said = (await Promise.all(crews)).flat();

        // Whatever was acknowledged is there: every agent is where its last change has left it.
        for (const agentId of agents) {
          expect(await manager.getCurrentProject(agentId)).toMatchObject({ version: switches });
        }
        expect(await manager.getCurrentProject('shared')).toMatchObject({ version: 50 });
        const told = said.filter(({ agent }) => agent !== undefined);
        const changes = new Set(told.map(({ agent, version }) => `${agent} ${version}`));
        expect(changes.size).toBe(told.length);
        const sessions = await manager.listSessions({ status: 'active', limit: 10_000 });
        const active = new Set(sessions.map(({ agent_id: id }) => id));
        expect([...agents, ...others, 'shared'].filter((id) => !active.has(id))).toEqual([]);

        // And on record, each change once.
        const storage = await openStorage(database);
        const record = await storage.read(() =>
          rows(
            `SELECT agent_id, actual_version, count(*) AS times FROM agent_project_events
             WHERE success = 1 AND actual_version IS NOT NULL AND agent_id <> 'racer'
             GROUP BY agent_id, actual_version`,
          ),
        );
        await storage.close();
        expect(record.filter(({ times }) => Number(times) !== 1)).toEqual([]);
        expect(record).toHaveLength(64 * switches + 50);
      },
      5 * 60_000 * scale,
    );
  });
}

switching('SQLite', (folder) => join(folder, 'stomp.db'));

describe('with a server', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.close());
  switching('PostgreSQL', () => server.url);
});
