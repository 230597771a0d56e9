/** Any order of requests, releases, expiries and cancellations: every lock table does what a simple model of it does. */
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conflict, type KeyRequest, type LockMode } from '../../../ts/guard/keys.js';
import type { Lease } from '../../../ts/guard/lease.js';
import { LockManager } from '../../../ts/guard/lock-manager.js';
import type { Bench } from './lock-manager.suite.js';

type Request = { readonly agent: string; readonly keys: readonly KeyRequest[] };

interface HeldLock {
  readonly key: string;
  readonly agent: string;
  mode: LockMode;
  token: bigint | undefined;
  holds: number;
}

interface Grant {
  readonly agent: string;
  readonly locks: readonly HeldLock[];
  lost: boolean;
}

interface Waiter {
  readonly request: Request;
  readonly id: number;
}

/** What a lock table is, without time, processes and databases. */
class Model {
  locks: HeldLock[] = [];
  waiters: Waiter[] = [];
  highest = 0n;

  blocked({ agent, keys }: Request, before: readonly Waiter[]): boolean {
    return keys.some((wanted) => {
      if (this.locks.some((lock) => lock.agent !== agent && conflict(lock, wanted))) return true;
      const own = this.locks.some(
        (lock) => lock.agent === agent && conflict(lock, { key: wanted.key, mode: 'exclusive' }),
      );
      return !own && before.some(({ request }) => request.keys.some((key) => conflict(key, wanted)));
    });
  }

  grant({ agent, keys }: Request): Grant {
    const locks = keys.map(({ key, mode }) => {
      const own = this.locks.find((lock) => lock.agent === agent && lock.key === key);
      if (own) {
        own.holds++;
        if (mode === 'exclusive') own.mode = mode;
        return own;
      }
      const lock = { key, agent, mode, token: undefined, holds: 1 };
      this.locks.push(lock);
      return lock;
    });
    return { agent, locks, lost: false };
  }

  release(grant: Grant): void {
    for (const lock of grant.locks) lock.holds--;
    this.locks = this.locks.filter((lock) => lock.holds > 0);
  }

  /** Those who are first now. */
  admit(): [Waiter, Grant][] {
    const admitted: [Waiter, Grant][] = [];
    const still: Waiter[] = [];
    for (const waiter of this.waiters) {
      if (this.blocked(waiter.request, still)) still.push(waiter);
      else admitted.push([waiter, this.grant(waiter.request)]);
    }
    this.waiters = still;
    return admitted;
  }
}

/** The real one, with the promises that are out. */
interface Real {
  readonly managers: readonly LockManager[];
  readonly leases: Map<Grant, Lease>;
  readonly waiting: Map<number, { promise: Promise<Lease>; abort: AbortController; settled: () => boolean }>;
  next: number;
}

type Command = fc.AsyncCommand<Model, Real>;

const keys = ['code:/a', 'code:/a/b', 'code:/a/', 'code:/c', 'db:x'];
const agents = ['ann', 'bob', 'cid'];
const patienceMs = 60_000;
// Long enough for a slow database to answer in, short enough to be waited for.
const shortTtlMs = 40;

const managerOf = (real: Real, agent: string) =>
  real.managers[agents.indexOf(agent) % real.managers.length] as LockManager;
const ownerOf = (agent: string) => ({ agentId: agent, sessionId: `${agent}-1` });

/** Takes over the tokens of a grant, above all that were given before; none is given twice. */
function adopt(model: Model, grant: Grant, lease: Lease, above: bigint): void {
  for (const lock of grant.locks) {
    const token = lease.tokens.get(lock.key) ?? 0n;
    if (lock.token === undefined) {
      expect(token).toBeGreaterThan(above);
      expect(model.locks.map((other) => other.token)).not.toContain(token);
      lock.token = token;
      if (token > model.highest) model.highest = token;
    }
    expect(token).toBe(lock.token);
  }
}

/** A hang is reported as what it is, and with the commands that lead to it. */
async function soon<T>(promise: Promise<T>): Promise<T> {
  const late = sleep(3000, 'late' as const, { ref: false });
  const first = await Promise.race([promise, late]);
  if (first === 'late') throw new Error('whoever is first waits all the same');
  return first;
}

/** Whoever is first has it soon; nobody else has. */
async function settle(model: Model, real: Real): Promise<void> {
  const above = model.highest;
  for (const [{ id }, grant] of model.admit()) {
    const waiting = real.waiting.get(id);
    if (!waiting) throw new Error('a waiter is lost');
    const lease = await soon(waiting.promise);
    real.waiting.delete(id);
    real.leases.set(grant, lease);
    adopt(model, grant, lease, above);
  }
  for (const { settled } of real.waiting.values()) expect(settled()).toBe(false);
  const snapshot = await (real.managers[0] as LockManager).snapshot();
  const seen = snapshot.map((lock) => `${lock.resource_key} ${lock.holder_agent_id} ${lock.fencing_token}`);
  const known = model.locks.map((lock) => `${lock.key} ${lock.agent} ${lock.token}`);
  expect(seen.sort()).toEqual(known.sort());
}

class Acquire implements Command {
  readonly request: Request;
  readonly wait: boolean;
  constructor(request: Request, wait: boolean) {
    this.request = request;
    this.wait = wait;
  }
  check = () => true;
  async run(model: Model, real: Real): Promise<void> {
    const { agent } = this.request;
    const blocked = model.blocked(this.request, model.waiters);
    const abort = new AbortController();
    const promise = managerOf(real, agent).acquire(this.request.keys, {
      ...ownerOf(agent),
      ttlMs: patienceMs,
      maxWaitMs: this.wait ? patienceMs : 0,
      signal: abort.signal,
    });
    if (!blocked) {
      const grant = model.grant(this.request);
      const lease = await promise;
      real.leases.set(grant, lease);
      adopt(model, grant, lease, model.highest);
    } else if (this.wait) {
      let settled = false;
      const id = real.next++;
      promise.then(
        () => (settled = true),
        () => (settled = true),
      );
      real.waiting.set(id, { promise, abort, settled: () => settled });
      model.waiters.push({ request: this.request, id });
      // It stands in the queue before the next one asks.
      await queued(real, model.waiters.length);
    } else {
      await expect(promise).rejects.toMatchObject({ code: 'RESOURCE_BUSY' });
    }
    await settle(model, real);
  }
  toString = () =>
    `${this.request.agent} ${this.wait ? 'waits for' : 'tries'} ${this.request.keys.map(({ key, mode }) => `${mode} ${key}`).join(', ')}`;
}

/** A request that is to wait has reached the table when its manager has nothing else to say. */
async function queued(real: Real, count: number): Promise<void> {
  await sleep(real.managers.length > 1 ? 10 : 0);
  expect(real.waiting.size).toBe(count);
}

class Release implements Command {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
  check = (model: Readonly<Model>) => model.locks.length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const [grant, lease] = pick([...real.leases], this.index);
    real.leases.delete(grant);
    model.release(grant);
    await lease.release();
    await settle(model, real);
  }
  toString = () => `release ${this.index}`;
}

class Renew implements Command {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
  check = (model: Readonly<Model>) => model.locks.length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const [, lease] = pick([...real.leases], this.index);
    await lease.renew(patienceMs);
    await settle(model, real);
  }
  toString = () => `renew ${this.index}`;
}

/** All that hold what this one holds expire with it. */
class Expire implements Command {
  readonly request: Request;
  constructor(request: Request) {
    this.request = request;
  }
  check = (model: Readonly<Model>) =>
    !model.blocked(this.request, model.waiters) &&
    !model.locks.some(({ agent }) => agent === this.request.agent);
  async run(model: Model, real: Real): Promise<void> {
    const { agent } = this.request;
    const lease = await managerOf(real, agent).acquire(this.request.keys, {
      ...ownerOf(agent),
      ttlMs: shortTtlMs,
    });
    const grant = model.grant(this.request);
    adopt(model, grant, lease, model.highest);
    await sleep(shortTtlMs + 10);
    model.release(grant);
    await settle(model, real);
    await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(lease.release()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await settle(model, real);
  }
  toString = () => `${this.request.agent} lets ${this.request.keys.map(({ key }) => key).join(', ')} expire`;
}

class Cancel implements Command {
  readonly index: number;
  constructor(index: number) {
    this.index = index;
  }
  check = (model: Readonly<Model>) => model.waiters.length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const { id } = pick(model.waiters, this.index);
    model.waiters = model.waiters.filter((waiter) => waiter.id !== id);
    const waiting = real.waiting.get(id);
    real.waiting.delete(id);
    waiting?.abort.abort();
    await expect(waiting?.promise).rejects.toMatchObject({ code: 'CANCELLED' });
    await settle(model, real);
  }
  toString = () => `cancel ${this.index}`;
}

function pick<T>(list: readonly T[], index: number): T {
  return list[index % list.length] as T;
}

const requests = fc.record({
  agent: fc.constantFrom(...agents),
  keys: fc
    .uniqueArray(
      fc.record({
        key: fc.constantFrom(...keys),
        mode: fc.constantFrom<LockMode>('exclusive', 'exclusive', 'shared'),
      }),
      { minLength: 1, maxLength: 3, selector: ({ key }) => key },
    )
    .map((list) => list.sort((a, b) => (a.key < b.key ? -1 : 1))),
});

const commands = fc.commands(
  [
    fc.tuple(requests, fc.boolean()).map(([request, wait]) => new Acquire(request, wait)),
    requests.map((request) => new Acquire(request, true)),
    fc.nat(20).map((index) => new Release(index)),
    fc.nat(20).map((index) => new Release(index)),
    fc.nat(20).map((index) => new Renew(index)),
    fc.nat(20).map((index) => new Cancel(index)),
    requests.map((request) => new Expire(request)),
  ],
  { maxCommands: 40, size: 'max' },
);

/** @param managers that share one table, as processes do. */
export function lockModelSuite(
  name: string,
  start: () => Promise<Bench>,
  runs: number,
  managers: number,
): void {
  describe(`lock table, ${name}`, () => {
    it('does what its model does', { timeout: 600_000 }, async () => {
      const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
      await fc.assert(
        fc.asyncProperty(commands, async (list) => {
          const bench = await start();
          const tables = await Promise.all(Array.from({ length: managers }, () => bench.open()));
          const real: Real = {
            managers: tables.map((table) => new LockManager({ table })),
            leases: new Map(),
            waiting: new Map(),
            next: 0,
          };
          try {
            await fc.asyncModelRun(() => ({ model: new Model(), real }), list);
          } finally {
            for (const { promise, abort } of real.waiting.values()) {
              promise.catch(() => undefined);
              abort.abort();
            }
            await Promise.all(real.managers.map((manager) => manager.close()));
            await bench.close();
          }
        }),
        // To shrink a hang takes longer than the test may; the seed repeats it.
        { numRuns: Math.round(runs * scale), endOnFailure: true },
      );
    });
  });
}
