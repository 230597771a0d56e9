import { mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidRequestError, type StompError } from '../../../ts/errors.js';
import { LeaseLostError, MaaslError, ResourceBusyError } from '../../../ts/guard/errors.js';
import { Maasl, type StompGuardOptions } from '../../../ts/guard/maasl.js';
import type { StompEvent } from '../../../ts/guard/telemetry.js';

const as = (agentId: string, more: Partial<StompGuardOptions> = {}): StompGuardOptions => ({
  intent: 'test',
  agentId,
  sessionId: `${agentId}-1`,
  ...more,
});
const code = (error: StompError) => error.code;

describe('maasl', () => {
  let folder: string;
  let maasl: Maasl;
  let events: StompEvent[];
  const file = () => join(folder, 'a.txt');
  const code1 = () => [{ resourceClass: 'CRIT_CODE', identifier: file() }];
  const graph = [{ resourceClass: 'MERGE_META', identifier: 'main' }];
  const docs = [{ resourceClass: 'IDEMP_DOCS', identifier: 'repo/a.md' }];

  async function open(more: object = {}): Promise<Maasl> {
    maasl = await Maasl.open({ sink: (event) => events.push(event), ...more });
    return maasl;
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stomp-maasl-'));
    writeFileSync(file(), 'a');
    events = [];
  });
  afterEach(async () => {
    await maasl.close();
    rmSync(folder, { recursive: true });
  });

  it('runs an operation with the tokens of its resources and gives them back', async () => {
    await open();
    const result = await maasl.callWithStompGuard(
      async ({ tokens, signal, held }) => {
        expect([...tokens.keys()]).toEqual([`code:${file()}`]);
        expect(signal.aborted).toBe(false);
        expect(held).toBe(true);
        expect((await maasl.locks.snapshot()).length).toBe(1);
        return 7;
      },
      code1(),
      as('ann'),
    );
    expect(result).toBe(7);
    expect(await maasl.locks.snapshot()).toEqual([]);
  });

  it('frees the resources when the operation throws, and keeps type and cause of the error', async () => {
    await open();
    class Own extends Error {}
    const own = new Own('no', { cause: 5 });
    const thrown = await maasl
      .callWithStompGuard(() => Promise.reject(own), code1(), as('ann'))
      .catch((e: unknown) => e);
    expect(thrown).toBe(own);
    await maasl.callWithStompGuard(() => undefined, code1(), as('bob'));
  });

  it('takes one resource named twice, by two names, once', async () => {
    await open();
    const link = join(folder, 'link');
    symlinkSync(file(), link);
    const twice = [...code1(), { resourceClass: 'CRIT_CODE', identifier: link }, ...code1()];
    await maasl.callWithStompGuard(({ tokens }) => expect(tokens.size).toBe(1), twice, as('ann'));
  });

  it('waits as long as the class says, longer in a batch', async () => {
    await open({
      maasl: { resource: { CRIT_CODE: { interactive_max_wait_ms: 20, batch_max_wait_ms: 150 } } },
    });
    await using_(code1(), async () => {
      const busy = await maasl.stompGuard(code1(), as('bob')).catch((e: StompError) => e);
      expect(busy).toBeInstanceOf(ResourceBusyError);
      expect(busy).toBeInstanceOf(MaaslError);
      expect((busy as StompError).fields).toMatchObject({ max_wait_ms: 20, holder_agent_id: 'ann' });
      const batch = await maasl.stompGuard(code1(), as('bob', { mode: 'batch' })).catch((e: StompError) => e);
      expect((batch as StompError).fields.wait_ms).toBeGreaterThanOrEqual(149);
    });
  });

  async function using_(resources: ReturnType<typeof code1>, body: () => Promise<void>): Promise<void> {
    const guard = await maasl.stompGuard(resources, as('ann'));
    try {
      await body();
    } finally {
      await guard[Symbol.asyncDispose]();
    }
  }

  it('leaves what merges open to those who come while it is held', async () => {
    await open({ maasl: { resource: { MERGE_META: { interactive_max_wait_ms: 20 } } } });
    await using_(graph, async () => {
      const open = await maasl.callWithStompGuard((guard) => guard.open, graph, as('bob'));
      expect(open).toEqual(['graph:main']);
      const mixed = await maasl.callWithStompGuard((guard) => guard, [...graph, ...code1()], as('bob'));
      expect(mixed.open).toEqual(['graph:main']);
      expect([...mixed.tokens.keys()]).toEqual([`code:${file()}`]);
    });
  });

  it('does what is idempotent once for all who ask at the same time', async () => {
    await open();
    let runs = 0;
    const make = async () => {
      runs++;
      await sleep(20);
      return runs;
    };
    const ask = (agent: string, idempotencyKey: string) =>
      maasl.callWithStompGuard(make, docs, as(agent, { idempotencyKey }));
    expect(await Promise.all([ask('ann', 'x'), ask('bob', 'x'), ask('cid', 'x')])).toEqual([1, 1, 1]);
    expect(await ask('ann', 'x')).toBe(2);
    let fails = 0;
    const failing = () => (fails++ === 0 ? Promise.reject(new Error('once')) : Promise.resolve(fails));
    const two = await Promise.allSettled(
      ['ann', 'bob'].map((agent) =>
        maasl.callWithStompGuard(failing, docs, as(agent, { idempotencyKey: 'y' })),
      ),
    );
    expect(two.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });

  it('lets nobody wait for what another makes longer than it would for the lock', async () => {
    await open();
    let finish: () => void = () => undefined;
    const slow = () => new Promise<void>((resolve) => (finish = resolve));
    const first = maasl.callWithStompGuard(slow, docs, as('ann', { idempotencyKey: 'x' }));
    const ask = (more: object) =>
      maasl.callWithStompGuard(() => undefined, docs, as('bob', { idempotencyKey: 'x', ...more }));
    await sleep(5);
    expect(await ask({ maxWaitMs: 10 }).catch((e: StompError) => e)).toMatchObject({
      code: 'RESOURCE_BUSY',
      fields: { holder_agent_id: 'ann', resource_key: 'docgen:repo/a.md' },
    });
    expect(await ask({ maxWaitMs: 60_000, signal: AbortSignal.timeout(10) }).catch(code)).toBe('CANCELLED');
    finish();
    await first;
  });

  it('lets readers of a single writer read beside it, and nobody read beside a mutex', async () => {
    await open({ maasl: { resource: { CRIT_CODE: { interactive_max_wait_ms: 0 } } } });
    const db = [{ resourceClass: 'CRIT_DB', identifier: join(folder, 'x.db') }];
    await using_(db, async () => {
      const read = [{ ...(db[0] as (typeof db)[0]), access: 'read' as const }];
      expect(await maasl.callWithStompGuard(() => 1, read, as('bob'))).toBe(1);
    });
    await using_(code1(), async () => {
      const read = code1().map((one) => ({ ...one, access: 'read' as const }));
      expect(await maasl.callWithStompGuard(() => 1, read, as('bob')).catch(code)).toBe('RESOURCE_BUSY');
    });
  });

  it('says that a lease was lost, unless the change was made before', async () => {
    await open();
    const lose = (commit: boolean) =>
      maasl.callWithStompGuard(
        async (guard) => {
          if (commit) guard.committed();
          const [lock] = await maasl.locks.snapshot();
          const tokens = new Map([[lock?.resource_key ?? '', BigInt(lock?.fencing_token ?? 0)]]);
          await maasl.locks.resume(tokens, { agentId: 'ann', sessionId: 'ann-1' }).release();
          return 'made';
        },
        code1(),
        as('ann'),
      );
    expect(await lose(false).catch((e: unknown) => e)).toBeInstanceOf(LeaseLostError);
    expect(await lose(true)).toBe('made');
  });

  it('refuses a token that is not the one held', async () => {
    await open();
    const guard = await maasl.stompGuard(code1(), as('ann'));
    const [token = 0n] = guard.tokens.values();
    await maasl.callWithStompGuard(() => undefined, code1(), as('ann', { token }));
    await guard.release();
    const late = maasl.callWithStompGuard(() => undefined, code1(), as('ann', { token }));
    expect(await late.catch(code)).toBe('FENCED');
    expect(await maasl.locks.snapshot()).toEqual([]);
  });

  it('refuses a token for what others hold, also where it would be left open', async () => {
    await open({ maasl: { resource: { MERGE_META: { interactive_max_wait_ms: 0 } } } });
    const mine = await maasl.stompGuard(graph, as('ann'));
    const [token = 0n] = mine.tokens.values();
    await mine.release();
    const other = await maasl.stompGuard(graph, as('bob'));
    const late = maasl.callWithStompGuard(() => undefined, graph, as('ann', { token }));
    expect(await late.catch(code)).toBe('FENCED');
    await other.release();
  });

  it('locks nothing when it is switched off', async () => {
    await open({ maasl: { enabled: false } });
    await using_(code1(), async () => {
      expect(await maasl.callWithStompGuard(({ tokens }) => tokens.size, code1(), as('bob'))).toBe(0);
    });
  });

  it('keeps databases apart by where they are, not by what they are called', async () => {
    await open();
    const keyOf = (identifier: string) =>
      maasl.callWithStompGuard(
        ({ tokens }) => [...tokens.keys()][0],
        [{ resourceClass: 'CRIT_DB', identifier }],
        as('ann'),
      );
    expect(await keyOf('postgres://ann:secret@Db.Example/db')).toBe('db:db.example:5432/db');
    expect(await keyOf('postgresql://db.example:5432/db?sslmode=require')).toBe('db:db.example:5432/db');
    expect(await keyOf(join(folder, '.', 'x.db'))).toBe(await keyOf(`file://${folder}/x.db`));
  });

  it('tells every call, and who did what', async () => {
    await open();
    await maasl.callWithStompGuard(() => undefined, code1(), as('ann'));
    await maasl
      .callWithStompGuard(() => Promise.reject(new Error('x')), code1(), as('bob'))
      .catch(() => undefined);
    expect(events.map(({ event }) => event)).toEqual([
      'lock_acquired',
      'lock_released',
      'stomp_guard_call',
      'lock_acquired',
      'lock_released',
      'stomp_guard_call',
    ]);
    expect(events[2]).toMatchObject({ agent_id: 'ann', intent: 'test', mode: 'interactive', outcome: 'ok' });
    expect(events[5]).toMatchObject({ agent_id: 'bob', outcome: 'failed' });
    expect(events[1]).toHaveProperty('held_ms');
    maasl.telemetry.sink = undefined;
    await maasl.callWithStompGuard(() => undefined, code1(), as('ann'));
    expect(events.length).toBe(6);
    expect(maasl.telemetry.counts()).toMatchObject({ stomp_guard_call: 3 });
  });

  it('does not make up how long a lease was held that another has acquired', async () => {
    await open();
    const owner = { agentId: 'ann', sessionId: 'ann-1' };
    const lease = await maasl.locks.acquire('code:/x', { ...owner, detached: true });
    await maasl.locks.resume(lease.tokens, owner).release();
    expect(events.at(-1)).toMatchObject({ event: 'lock_released', resource_key: 'code:/x' });
    expect(events.at(-1)).not.toHaveProperty('held_ms');
  });

  it('refuses what it does not know', async () => {
    await open();
    const call = (resources: unknown, options: unknown = as('ann')) =>
      maasl.callWithStompGuard(() => 1, resources as never, options as never).catch(code);
    expect(await call([{ resourceClass: 'CRIT_COD', identifier: 'x' }])).toBe('UNKNOWN_RESOURCE_CLASS');
    expect(await call([{ resourceClass: 'CRIT_CODE', identifier: '' }])).toBe('INVALID_REQUEST');
    expect(await call([{ resourceClass: 'CRIT_CODE', path: 'x' }])).toBe('UNSUPPORTED_FIELD');
    expect(await call('x')).toBe('INVALID_REQUEST');
    expect(await call(code1(), as(''))).toBe('INVALID_REQUEST');
    expect(await call(code1(), { agentId: 'a', sessionId: 'b' })).toBe('INVALID_REQUEST');
    expect(await call(code1(), as('ann', { ttlMs: 0 }))).toBe('INVALID_REQUEST');
    expect(await call(code1(), as('ann', { mode: 'slow' as never }))).toBe('INVALID_REQUEST');
    await expect(Maasl.open({ maasl: { enabledd: true } })).rejects.toThrow(/enabled/);
    await expect(Maasl.open({ locks: 'database' })).rejects.toBeInstanceOf(InvalidRequestError);
    expect(() => maasl.fences).toThrow(/database/);
  });

  it('lets nobody in beside a holder but where changes are merged', async () => {
    const strategy = 'fail_open_merge';
    const start = (resource: object) => open({ maasl: { resource } });
    await expect(start({ CRIT_CODE: { strategy } })).rejects.toThrow(/CRIT_CODE.strategy/);
    await expect(start({ CRIT_DB: { strategy, concurrency: 'merge' } })).rejects.toThrow(/CRIT_DB.strategy/);
    await expect(start({ MERGE_META: { concurrency: 'mutex', strategy } })).rejects.toThrow(/concurrency/);
    await expect(start({ MINE: { strategy } })).rejects.toThrow(/concurrency/);
    await start({ MERGE_META: { strategy: 'fail_closed' }, MINE: { strategy, concurrency: 'merge' } });
    expect(maasl.policy.get('MINE')).toMatchObject({ strategy });
  });

  it('applies an override to one registry only', async () => {
    await open({
      maasl: { resource: { CRIT_CODE: { lease_ttl_sec: 7 }, MINE: { strategy: 'fail_closed' } } },
    });
    expect(maasl.policy.get('CRIT_CODE').leaseTtlMs).toBe(7000);
    const other = await Maasl.open();
    expect(other.policy.get('CRIT_CODE').leaseTtlMs).toBe(30_000);
    expect(() => other.policy.get('MINE')).toThrow(/no resource class/);
    await other.close();
  });

  it('tells of a call once, also of one that is refused for its token', async () => {
    const { telemetry } = await open();
    const refused = maasl.callWithStompGuard(() => 1, graph, as('ann', { token: 77n }));
    expect(await refused.catch(code)).toBe('FENCED');
    expect(telemetry.counts().stomp_guard_call).toBe(1);
  });

  it.runIf(process.platform === 'linux')('leaves no file open when it cannot be opened', async () => {
    const database = join(folder, 'broken.db');
    writeFileSync(database, 'no database, but long enough for its first page'.repeat(100));
    expect(await open({ database }).catch(code)).toBe('DB_BUSY');
    const files = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(join('/proc/self/fd', fd));
      } catch {
        return '';
      }
    });
    expect(files).not.toContain(database);
  });
});
