/** Processes that are killed while they write a progress log: every entry is there, once, and nothing is torn. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { formatLine } from '../../../ts/context/line.js';
import { newEntries } from '../../../ts/context/new-entry.js';
import type { Project } from '../../../ts/context/types.js';
import { openStorage } from '../../../ts/storage/open.js';
import type { Storage } from '../../../ts/storage/storage.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { change, entriesOf, Rig } from '../../unit/context/progress-log.rig.js';
import { LogWriterProcess, type LogWriterSetup } from './log-writer-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const minutes = 60_000;

const points = [
  'leased',
  'stored, not committed',
  'stored',
  'half a line',
  'written',
  'synced',
  'noted, not committed',
  'noted',
];
// Of an entry with which a new file begins.
const rotationPoints = [
  'leased',
  'stored',
  'before the rename',
  'half renamed',
  'renamed',
  'closed, not committed',
  'closed',
  'half a header',
  'written',
  'synced',
];

// Outside of transactions: others take over and write meanwhile.
const sleeps = ['stored', 'before the write', 'written', 'synced', 'before the rename', 'renamed'];

async function isStopped(pid: number | undefined): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return /^\d+ \(.*\) T/.test(stat);
}

/** 16 agents, each in a process of its own, which is started again when it was killed. @returns how many were */
async function storm(
  setup: Omit<LogWriterSetup, 'agent' | 'from' | 'to'>,
  each: number,
  mostKills: number,
): Promise<number> {
  const writers = new Set<LogWriterProcess>();
  let kills = 0;
  const killer = setInterval(() => {
    const one = [...writers][Math.floor(Math.random() * writers.size)];
    if (one && kills++ < mostKills) one.child.kill('SIGKILL');
  }, 300);
  const run = async (agent: string) => {
    for (let from = 0; from < each; ) {
      const writer = new LogWriterProcess({ ...setup, agent, from, to: each });
      writers.add(writer);
      const signal = await writer.ended();
      writers.delete(writer);
      // It then repeats the entry of which it does not know.
      from = signal ? writer.next : each;
    }
  };
  try {
    await Promise.all(Array.from({ length: 16 }, (_, i) => run(`agent-${i}`)));
  } finally {
    clearInterval(killer);
    for (const { child } of writers) child.kill('SIGKILL');
  }
  return Math.min(kills, mostKills);
}

const promises = (name: string, database: (rig: Rig) => string) => {
  describe(`on ${name}`, () => {
    let rig: Rig;
    let storage: Storage;
    beforeEach(async () => {
      const storages: Storage[] = [];
      rig = new Rig({
        connect: async () => {
          const opened = await openStorage(database(rig));
          storages.push(opened);
          return opened;
        },
        close: async () => {
          for (const one of storages) await one.close();
        },
      });
      storage = await rig.storage();
    });
    afterEach(() => rig.close());

    /** All the lines, in the order of their files, the headers left out. */
    async function expectWhole(project: Project, count: number): Promise<void> {
      const log = await rig.open();
      const report = await log.audit(project);
      expect(report.problems).toEqual([]);
      const entries = await entriesOf(storage, project);
      expect(entries.map(({ line }) => line)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
      expect(new Set(entries.map(({ id }) => id)).size).toBe(count);
      const texts = report.files.map(({ path }) => readFileSync(path, 'utf8'));
      for (const text of texts) expect(text.endsWith('\n')).toBe(true);
      const lines = texts.flatMap((text) => text.slice(0, -1).split('\n').slice(1));
      expect(lines).toEqual(entries.map(formatLine));
    }

    /** Entry 9 of a writer is the one in which it dies, and the one that does not fit into the first file. */
    async function killed(at: string, rotateBytes: number): Promise<Project> {
      const project = rig.project();
      const setup = {
        database: database(rig),
        projects: [project],
        agent: 'eve',
        leaseTtlMs: 300,
        rotateBytes,
      };
      const writer = new LogWriterProcess({ ...setup, from: 0, to: 20, kill: { at, entry: 9 } });
      expect(await writer.ended()).toBe('SIGKILL');
      expect(writer.next).toBe(9);
      return project;
    }

    it.each(points)('loses and doubles nothing of a writer that is killed at: %s', async (at) => {
      const project = await killed(at, 1 << 20);
      // The same again, as whoever has not heard that it was done, and one more.
      const after = { database: database(rig), projects: [project], agent: 'eve', leaseTtlMs: 300 };
      const writer = new LogWriterProcess({ ...after, from: 8, to: 11, rotateBytes: 1 << 20 });
      expect(await writer.ended()).toBeUndefined();
      expect(writer.unwritten).toEqual([]);
      await expectWhole(project, 11);
    });

    it.each(rotationPoints)('begins the next file once, killed at: %s', async (at) => {
      const project = await killed(at, 1500);
      const log = await rig.open({ rotateBytes: 1500 });
      await log.recover(project);
      const items = newEntries([{ message: 'after', id: 'after' }], 0);
      const { entries, log: file } = await log.append(project, items, { agentId: 'bob', sessionId: null });
      expect(file.written).toBe(true);
      // Of the entry in which it was killed nobody was told that it is stored; it may be.
      await expectWhole(project, entries[0]?.line ?? 0);
      expect(entries[0]?.line).toBe(at === 'leased' ? 10 : 11);
      expect((await log.audit(project)).files).toHaveLength(2);
    });

    it.runIf(process.platform === 'linux').each(sleeps)(
      'doubles nothing of a writer that sleeps past its lease at: %s',
      async (at) => {
        const project = rig.project();
        const rotateBytes = at.includes('rename') ? 1500 : 1 << 20;
        const setup = {
          database: database(rig),
          projects: [project],
          agent: 'eve',
          leaseTtlMs: 300,
          rotateBytes,
        };
        const kill = { at, entry: 9, signal: 'SIGSTOP' as const };
        const writer = new LogWriterProcess({ ...setup, from: 0, to: 12, kill });
        const log = await rig.open({ rotateBytes });
        while (!(await isStopped(writer.child.pid))) await sleep(20);
        const items = newEntries(['while it slept', 'and more'], 0);
        await log.append(project, items, { agentId: 'bob', sessionId: null });
        writer.child.kill('SIGCONT');
        expect(await writer.ended()).toBeUndefined();
        expect(writer.unwritten).toEqual([]);
        await expectWhole(project, 14);
      },
    );

    it(
      'keeps every line of 16 agents in 16 processes that are killed at random',
      async () => {
        const projects = [rig.project('one'), rig.project('two')];
        const each = 100 * scale;
        const setup = { database: database(rig), projects, leaseTtlMs: 1000, rotateBytes: 65_536 };
        const kills = await storm(setup, each, 24 * scale);
        expect(kills).toBeGreaterThan(4);
        for (const project of projects) {
          const log = await rig.open();
          await log.recover(project);
          await expectWhole(project, 8 * each);
          for (const { message, agent, id } of await entriesOf(storage, project)) {
            expect(message.endsWith(`| of\n${project.name}`)).toBe(true);
            expect(id.startsWith(`${agent}-`)).toBe(true);
          }
        }
      },
      10 * minutes * scale,
    );
  });
};

promises('SQLite', (rig) => join(rig.folder, 'stomp.db'));

describe('PostgreSQL', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterEach(async () => {
    const storage = await openStorage(server.url);
    await change(storage, 'DROP SCHEMA stomp_serve CASCADE');
    await storage.close();
  });
  afterAll(() => server?.close());

  promises('PostgreSQL', () => server.url);
});
