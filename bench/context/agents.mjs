// Agents that switch projects and write into logs, on both databases: `npm run bench:context`. --seconds N (of each
// line), --pause MS (of each agent between two calls), --only sqlite|postgres, --strict. Beside each line of ours stands
// the least that could do the job: for a switch one UPDATE under a version, for an entry one INSERT, one write and one
// fsync; by one caller after the other, without leases, sessions, events, hashes, search or recovery.
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Database from 'better-sqlite3';
import pg from 'pg';
import { startPostgres } from '../../scripts/postgres-server.mjs';
import { percentile } from '../locks/times.mjs';
import { machine } from '../machine.mjs';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    pause: { type: 'string', default: '50' },
    only: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
});
const seconds = Number(options.seconds);
const pauseMs = Number(options.pause);
const projects = ['P', 'Q', 'R'];
/** p95 in milliseconds: what must be, and what is aimed at. */
const targets = { sqlite: [50, 5], postgres: [50, 10] };

/** Each agent calls, pauses for about as long as it is told, and calls again. */
async function load(agents, call) {
  const samples = [];
  const until = performance.now() + seconds * 1000;
  const work = async (agent) => {
    for (let n = 0; performance.now() < until; n++) {
      await sleep(pauseMs * (0.5 + Math.random()));
      const began = performance.now();
      await call(agent, n);
      samples.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: agents }, (_, agent) => work(agent)));
  return samples;
}

async function openOurs(database, folder) {
  const { AgentContextManager } = await import('../../dist/context/agent-context-manager.js');
  const stateFile = join(folder, '.stomp/state.json');
  const manager = await AgentContextManager.open({ database, stateFile });
  for (const name of projects) await manager.createProject({ name, root: folder });
  const versions = [];
  for (let agent = 0; agent < 1000; agent++) {
    await manager.startSession(`agent-${agent}`, { sessionId: `s-${agent}` });
    versions.push(0);
  }
  return {
    async switch(agent) {
      const options = { sessionId: `s-${agent}`, expectedVersion: versions[agent] };
      const project = projects[versions[agent] % 3];
      ({ version: versions[agent] } = await manager.setCurrentProject(`agent-${agent}`, project, options));
    },
    async append(agent, n) {
      const who = { agentId: `agent-${agent}`, sessionId: `s-${agent}`, project: projects[agent % 3] };
      await manager.appendEntry(`entry ${n} of agent ${agent}, about the work that was done`, who);
    },
    close: () => manager.close(),
  };
}

/** A statement of the rival, in both databases. */
async function statements(database) {
  if (database.startsWith('postgres')) {
    const pool = new pg.Pool({ connectionString: database, max: 4 });
    return { run: (text, ...params) => pool.query(text, params), close: () => pool.end() };
  }
  const db = new Database(database);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  const run = (text, ...params) => {
    const named = Object.fromEntries(params.map((value, i) => [i + 1, value]));
    return db.prepare(text.replace(/\$(\d)/g, '?$1')).run(named);
  };
  return { run: async (...args) => run(...args), close: async () => db.close() };
}

async function openRival(database, folder) {
  const { run, close } = await statements(database);
  await run('CREATE TABLE rival_current (agent TEXT PRIMARY KEY, project TEXT, version BIGINT)');
  await run('CREATE TABLE rival_entries (id TEXT PRIMARY KEY, agent TEXT, message TEXT)');
  for (let agent = 0; agent < 64; agent++)
    await run('INSERT INTO rival_current VALUES ($1, $2, 0)', `agent-${agent}`, 'P');
  const versions = new Array(64).fill(0);
  const file = openSync(join(folder, 'rival.md'), 'a');
  return {
    async switch(agent) {
      const version = versions[agent]++;
      const update = 'UPDATE rival_current SET project = $1, version = $2 WHERE agent = $3 AND version = $4';
      await run(update, projects[version % 3], version + 1, `agent-${agent}`, version);
    },
    async append(agent, n) {
      const message = `entry ${n} of agent ${agent}, about the work that was done`;
      await run(
        'INSERT INTO rival_entries VALUES ($1, $2, $3)',
        `${process.hrtime.bigint()}`,
        `agent-${agent}`,
        message,
      );
      writeSync(file, `${message}\n`);
      fsyncSync(file);
    },
    async close() {
      closeSync(file);
      await close();
    },
  };
}

async function measure(name, database, folder) {
  const ours = await openOurs(database, folder);
  const rival = await openRival(
    database.startsWith('postgres') ? database : join(folder, 'rival.db'),
    folder,
  );
  for (const task of ['switch', 'append']) {
    for (const agents of [1, 16, 64]) {
      const figures = [];
      for (const side of [ours, rival]) figures.push(await load(agents, side[task]));
      console.log(line(name, task, agents, figures));
    }
  }
  await rival.close();
  await ours.close();
}

function line(name, task, agents, [ours, rival]) {
  const shares = [0.5, 0.95, 0.99];
  const [p50, p95, p99] = shares.map((share) => percentile(ours, share));
  const verdict = task === 'switch' && agents === 64 ? judge(name, p95) : '';
  const least = shares.slice(0, 2).map((share) => percentile(rival, share).toFixed(2));
  const rate = (ours.length / seconds).toFixed(0);
  const figures = [p50, p95, p99].map((ms) => ms.toFixed(2));
  return `| ${name} | ${task} | ${agents} | ${rate} | ${figures.join(' | ')} | ${least.join(' | ')} | ${verdict} |`;
}

function judge(name, p95) {
  const [must, aim] = targets[name];
  if (p95 >= must && options.strict) process.exitCode = 1;
  return p95 < aim ? `aim (${aim} ms) met` : p95 < must ? `under ${must} ms` : 'short';
}

async function run(name) {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
  const server = name === 'postgres' ? await startPostgres() : undefined;
  try {
    await measure(name, server?.url ?? join(folder, 'stomp.db'), folder);
  } finally {
    await server?.close();
    rmSync(folder, { recursive: true });
  }
}

try {
  const { cpu, cores, node } = machine();
  console.log(`${cpu}, ${cores} cores, Node ${node}; 1,000 sessions; ms; ${seconds} s a line\n`);
  console.log('| database | task | agents | calls/s | p50 | p95 | p99 | least p50 | least p95 | |');
  console.log('|---|---|---:|---:|---:|---:|---:|---:|---:|---|');
  for (const name of ['sqlite', 'postgres']) if (!options.only || options.only === name) await run(name);
} catch (error) {
  process.stderr.write(`npm run bench:context: ${error.stack}\n`);
  process.exitCode = 1;
}
