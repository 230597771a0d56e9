/** A stress run from beginning to end. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LockManager } from '../../guard/index.js';
import { Crew } from './crew.js';
import { handOvers, judgeCounts, judgeTokens } from './judge.js';
import { openWorker } from './open-worker.js';
import type { FromWorker } from './protocol.js';
import type { Done, ScenarioName, Worker } from './scenario.js';
import { scenarios } from './scenarios/index.js';

export interface StressOptions {
  readonly agents: number;
  /** How long the agents work, at most. */
  readonly durationMs: number;
  /** How many changes they make, at most. */
  readonly operations: number;
  readonly scenarios: readonly ScenarioName[];
  /** Of PostgreSQL; without it a SQLite file of the run's own. */
  readonly database: string | undefined;
  /** Kill agents at random. */
  readonly kill: boolean;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  readonly progress: (operations: number, elapsedMs: number) => void;
}

export interface ScenarioReport {
  readonly scenario: ScenarioName;
  readonly operations: number;
  readonly refused: Readonly<Record<string, number>>;
  /** Milliseconds from asking to holding. */
  readonly waitsMs: readonly number[];
  readonly handOversMs: readonly number[];
  readonly lost: number;
}

export interface StressReport {
  readonly rows: readonly ScenarioReport[];
  readonly killed: number;
  readonly elapsedMs: number;
  /** Empty when nothing was lost and nothing went wrong. */
  readonly problems: readonly string[];
  /** Kept for whoever wants to look, when there are problems. */
  readonly folder: string | undefined;
}

const killTtlMs = 800;
const ttlMs = 10_000;
const maxWaitMs = 60_000;
const killEveryMs = [500, 2000] as const;
const tickMs = 50;

/** @throws StompError when the database cannot be opened. */
export async function runStress(options: StressOptions): Promise<StressReport> {
  const folder = await mkdtemp(join(tmpdir(), 'stomp-stress-'));
  const arena = {
    folder,
    database: options.database ?? join(folder, 'stomp.db'),
    ttlMs: options.kill ? killTtlMs : ttlMs,
    maxWaitMs,
  };
  const setup = { ...arena, scenarios: options.scenarios };
  const { worker, close } = await openWorker({ ...setup, agentId: 'judge' });
  const heard = new Heard();
  const began = performance.now();
  try {
    for (const name of options.scenarios) await scenarios[name].prepare(worker);
    const crew = new Crew(setup, heard);
    await crew.start(options.agents);
    await work(crew, heard, options, began);
    await crew.stop();
    const elapsedMs = performance.now() - began;
    const problems = [...heard.problems, ...(await stuck(worker.maasl.locks, heard.done, arena.ttlMs))];
    const rows: ScenarioReport[] = [];
    for (const name of options.scenarios) rows.push(await report(name, worker, heard, crew.killed, problems));
    problems.push(...judgeTokens(heard.done));
    if (heard.done.length === 0) problems.push('nothing was done at all');
    if (problems.length === 0) await rm(folder, { recursive: true });
    return {
      rows,
      killed: crew.killed.size,
      elapsedMs,
      problems,
      folder: problems.length ? folder : undefined,
    };
  } finally {
    await close();
  }
}

/** Everything the agents have said. */
class Heard {
  readonly done: Done[] = [];
  readonly refused: { readonly scenario: ScenarioName; readonly code: string }[] = [];
  readonly problems: string[] = [];

  heard(agentId: string, message: FromWorker): void {
    if (message.kind === 'done') {
      this.done.push(message.done);
      this.#told(agentId, message.done);
    } else if (message.kind === 'refused') this.refused.push(message);
    else if (message.kind === 'failed')
      this.problems.push(`${agentId} in ${message.scenario}: ${message.message}`);
  }

  died(agentId: string, how: string): void {
    this.problems.push(`${agentId} ended: ${how}`);
  }

  readonly #counts = new Map<string, Map<string, number>>();

  told(scenario: ScenarioName, target: string): ReadonlyMap<string, number> {
    return this.#counts.get(`${scenario} ${target}`) ?? new Map();
  }

  #told(agentId: string, { scenario, target, count }: Done): void {
    const name = `${scenario} ${target}`;
    const counts = this.#counts.get(name) ?? new Map<string, number>();
    // Each change was told of as the next number; a gap is a change that was lost in between.
    const before = counts.get(agentId) ?? 0;
    if (count !== before + 1)
      this.problems.push(`${name}: ${agentId} found its count at ${count - 1}, not ${before}`);
    counts.set(agentId, before + 1);
    this.#counts.set(name, counts);
  }
}

async function work(crew: Crew, heard: Heard, options: StressOptions, began: number): Promise<void> {
  let killAt = options.kill ? performance.now() + between(...killEveryMs) : Number.POSITIVE_INFINITY;
  while (!options.signal.aborted && heard.done.length < options.operations && crew.size > 0) {
    const elapsedMs = performance.now() - began;
    if (elapsedMs >= options.durationMs) return;
    options.progress(heard.done.length, elapsedMs);
    if (performance.now() >= killAt) {
      await crew.replaceOne();
      killAt = performance.now() + between(...killEveryMs);
    }
    await sleep(tickMs);
  }
}

const between = (low: number, high: number) => low + Math.random() * (high - low);

/** Keys that nobody can have although those who held them are gone for longer than a lease lives. */
async function stuck(locks: LockManager, done: readonly Done[], leaseMs: number): Promise<string[]> {
  const problems: string[] = [];
  for (const key of new Set(done.map((one) => one.key).filter((one) => one !== ''))) {
    try {
      const owner = { agentId: 'judge', sessionId: 'judge' };
      const lease = await locks.acquire(key, { ...owner, maxWaitMs: leaseMs + 2000 });
      await lease.release();
    } catch (error) {
      problems.push(`${key} is stuck: ${(error as Error).message}`);
    }
  }
  return problems;
}

async function report(
  name: ScenarioName,
  judge: Worker,
  heard: Heard,
  killed: ReadonlySet<string>,
  problems: string[],
): Promise<ScenarioReport> {
  const scenario = scenarios[name];
  let lost = 0;
  for (const target of scenario.targets) {
    try {
      const counts = await scenario.counts(judge, target);
      const judgement = judgeCounts(`${name} ${target}`, heard.told(name, target), counts, killed);
      lost += judgement.lost;
      problems.push(...judgement.problems);
    } catch (error) {
      problems.push(`${name} ${target} cannot be read: ${(error as Error).message}`);
    }
  }
  const done = heard.done.filter((one) => one.scenario === name);
  const refused: Record<string, number> = {};
  for (const { scenario: where, code } of heard.refused) {
    if (where === name) refused[code] = (refused[code] ?? 0) + 1;
  }
  return {
    scenario: name,
    operations: done.length,
    refused,
    waitsMs: done.map(({ askedAt, acquiredAt }) => acquiredAt - askedAt),
    handOversMs: handOvers(done),
    lost,
  };
}
