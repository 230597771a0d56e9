import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Maasl } from '../../../ts/guard/index.js';
import { Reservations } from '../../../ts/reservations/reservations.js';

const alice = { runId: 'alice', branch: 'feat/a' };
const bob = { runId: 'bob', branch: 'feat/b' };

let root: string;
let now: Date;
let reservations: Reservations;
const later = (seconds: number) => (now = new Date(now.getTime() + seconds * 1000));
const open = (options: object = {}) => Reservations.open({ folder: root, now: () => now, ...options });
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stomp-reservations-'));
  execFileSync('git', ['init', '--quiet', '--initial-branch=main', root]);
  now = new Date('2026-03-18T12:00:00Z');
  reservations = await open();
});
afterEach(() => rmSync(root, { recursive: true }));

describe('to reserve', () => {
  it('is seen by others until its time is up, and then in the trail', async () => {
    const { reservation, held, warnings } = await reservations.reserve({
      ...alice,
      addresses: ['./src/a.py::f', 'src/a.py::f'],
      ttlSeconds: 60,
      operation: 'rename',
    });
    expect({ held, warnings }).toEqual({ held: [], warnings: [] });
    expect(reservation).toMatchObject({ ...alice, addresses: ['src/a.py::f'], operation: 'rename' });
    const other = await open();
    expect((await other.list()).reservations).toEqual([reservation]);
    later(60);
    expect((await other.list()).reservations).toEqual([]);
    expect((await other.list({ all: true })).reservations).toEqual([reservation]);
  });

  it('what others have is allowed, and tells whose it is', async () => {
    const first = await reservations.reserve({ ...alice, addresses: ['a.py::User'] });
    const { held } = await reservations.reserve({ ...bob, addresses: ['a.py::User.save', 'b.py'] });
    expect(held).toEqual([
      {
        ...alice,
        address: 'a.py::User.save',
        heldAddress: 'a.py::User',
        overlap: 'contains',
        reservationId: first.reservation.reservationId,
        until: first.reservation.expiresAt,
      },
    ]);
  });

  it('only what is free is refused where it is not, and says who has it until when', async () => {
    const { reservation } = await reservations.reserve({ ...alice, addresses: ['a.py'], ttlSeconds: 60 });
    const wanted = { ...bob, addresses: ['b.py', 'a.py::f'], ifFree: true };
    await expect(reservations.reserve(wanted)).rejects.toMatchObject({
      code: 'RESERVATION_CONFLICT',
      message: expect.stringMatching(
        /a\.py is reserved by alice on feat\/a until 2026-03-18T12:01:00\+00:00/,
      ),
      fields: {
        address: 'a.py::f',
        held_address: 'a.py',
        run_id: 'alice',
        branch: 'feat/a',
        reservation_id: reservation.reservationId,
        until: '2026-03-18T12:01:00+00:00',
      },
    });
    expect((await reservations.list({ all: true })).reservations).toHaveLength(1);
    later(60);
    await expect(reservations.reserve(wanted)).resolves.toMatchObject({ held: [] });
  });

  it('is never in the way of the same agent, but of its sitting on another branch', async () => {
    await reservations.reserve({ ...alice, addresses: ['a.py::f'], operation: 'modify' });
    const again = { ...alice, addresses: ['a.py::f'], operation: 'delete', ifFree: true } as const;
    await expect(reservations.reserve(again)).resolves.toMatchObject({ held: [] });
    await expect(reservations.reserve({ ...again, branch: 'other' })).rejects.toMatchObject({
      code: 'RESERVATION_CONFLICT',
    });
  });

  it.each([
    ['runId', { runId: undefined }],
    ['runId', { runId: '' }],
    ['branch', { branch: 'a\nb' }],
    ['addresses', { addresses: [] }],
    ['addresses', { addresses: 'a.py' }],
    ['addresses[1]', { addresses: ['a.py', '../b.py'] }],
    ['operation', { operation: 'explode' }],
    ['ttlSeconds', { ttlSeconds: 0 }],
    ['ttlSeconds', { ttlSeconds: 1.5 }],
    ['ifFree', { ifFree: 'yes' }],
  ])('without a proper %s is refused: %j', async (field, change) => {
    const request = { ...alice, addresses: ['a.py'], ...change } as never;
    await expect(reservations.reserve(request)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field },
    });
  });
});

describe('an intent', () => {
  it('has the symbols and the end of its reservation', async () => {
    const { reservation } = await reservations.reserve({ ...alice, addresses: ['a.py::f'], ttlSeconds: 60 });
    const { reservationId } = reservation;
    const intent = await reservations.intent({
      ...alice,
      reservationId,
      operation: 'delete',
      detail: 'unused',
    });
    expect(intent).toMatchObject({ addresses: ['a.py::f'], expiresAt: reservation.expiresAt });
    expect((await reservations.list()).intents).toEqual([intent]);
    await reservations.renew({ reservationId, runId: 'alice', ttlSeconds: 600 });
    later(61);
    expect((await reservations.list()).intents).toHaveLength(1);
    await reservations.release({ reservationId, runId: 'alice' });
    expect((await reservations.list()).intents).toEqual([]);
  });

  it('may stand alone, for an hour', async () => {
    const intent = await reservations.intent({ ...alice, addresses: ['a.py'], operation: 'modify' });
    expect(intent.expiresAt).toEqual(new Date('2026-03-18T13:00:00Z'));
    await expect(reservations.intent({ ...alice, operation: 'modify' })).rejects.toMatchObject({
      fields: { field: 'addresses' },
    });
  });

  it('needs a reservation that is there, one’s own and still holds', async () => {
    const { reservation } = await reservations.reserve({ ...alice, addresses: ['a.py::f'], ttlSeconds: 60 });
    const { reservationId } = reservation;
    const request = { reservationId, operation: 'modify' } as const;
    await expect(reservations.intent({ ...bob, ...request })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const unknown = { ...alice, ...request, reservationId: 'unknown' };
    await expect(reservations.intent(unknown)).rejects.toMatchObject({ code: 'RESERVATION_NOT_FOUND' });
    later(60);
    await expect(reservations.intent({ ...alice, ...request })).rejects.toMatchObject({
      code: 'RESERVATION_NOT_FOUND',
    });
  });
});

describe('a reservation', () => {
  const reserve = async () =>
    (await reservations.reserve({ ...alice, addresses: ['a.py::f'], ttlSeconds: 60 })).reservation
      .reservationId;

  it('is given back once, by whoever has made it', async () => {
    const reservationId = await reserve();
    await expect(reservations.release({ reservationId, runId: 'bob' })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    const first = await reservations.release({ reservationId, runId: 'alice' });
    later(5);
    expect(await reservations.release({ reservationId, runId: 'alice' })).toEqual(first);
    expect((await reservations.list()).reservations).toEqual([]);
    await expect(reservations.release({ reservationId: 'unknown', runId: 'alice' })).rejects.toMatchObject({
      code: 'RESERVATION_NOT_FOUND',
    });
  });

  it('is prolonged while it holds, never shortened, and not revived', async () => {
    const reservationId = await reserve();
    const shorter = await reservations.renew({ reservationId, runId: 'alice', ttlSeconds: 10 });
    expect(shorter.reservation.expiresAt).toEqual(new Date('2026-03-18T12:01:00Z'));
    later(50);
    const longer = await reservations.renew({ reservationId, runId: 'alice', ttlSeconds: 60 });
    expect(longer.reservation.expiresAt).toEqual(new Date('2026-03-18T12:01:50Z'));
    later(59);
    expect((await reservations.list()).reservations).toEqual([longer.reservation]);
    later(1);
    await expect(reservations.renew({ reservationId, runId: 'alice' })).rejects.toMatchObject({
      code: 'RESERVATION_NOT_FOUND',
    });
  });

  it('that ended long ago is moved aside on demand', async () => {
    const reservationId = await reserve();
    later(60 + 3600);
    expect(await reservations.gc({ olderThanSeconds: 3600 })).toBe(0);
    later(1);
    expect(await reservations.gc({ olderThanSeconds: 3600 })).toBe(1);
    expect((await reservations.list({ all: true })).reservations).toEqual([]);
    await expect(reservations.release({ reservationId, runId: 'alice' })).rejects.toMatchObject({
      code: 'RESERVATION_NOT_FOUND',
    });
  });
});

describe('to wait', () => {
  const held = async () =>
    (await reservations.reserve({ ...alice, addresses: ['a.py::User'], ttlSeconds: 60 })).reservation
      .reservationId;

  it('ends soon after others give back what is waited for', async () => {
    const reservationId = await held();
    let free = false;
    const waiting = reservations.awaitFree({ addresses: ['a.py::User.save'] }).then(() => (free = true));
    const other = await open();
    expect(free).toBe(false);
    await other.release({ reservationId, runId: 'alice' });
    await waiting;
  });

  it('ends when it expires', async () => {
    await reservations.reserve({ ...alice, addresses: ['a.py::f'], ttlSeconds: 1 });
    const clock = await open({ now: () => new Date(now.getTime() + performance.now() - began) });
    const began = performance.now();
    await clock.awaitFree({ addresses: ['a.py'] });
    expect(performance.now() - began).toBeGreaterThanOrEqual(990);
  });

  it('is not needed for what is free or one’s own', async () => {
    await held();
    await reservations.awaitFree({ addresses: ['b.py'] });
    await reservations.awaitFree({ addresses: ['a.py'], ...alice });
  });

  it('ends with who has it when the time is up, and when nobody wants it any more', async () => {
    await held();
    const request = { addresses: ['a.py'], ...bob };
    await expect(reservations.awaitFree({ ...request, timeoutMs: 30 })).rejects.toMatchObject({
      code: 'RESERVATION_CONFLICT',
      fields: { run_id: 'alice' },
    });
    await expect(
      reservations.awaitFree({ ...request, signal: AbortSignal.timeout(30) }),
    ).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });
});

describe('a reservation that locks', () => {
  let maasl: Maasl;
  let locking: Reservations;
  beforeEach(async () => {
    maasl = await Maasl.open();
    locking = await open({ guard: maasl });
    mkdirSync(join(root, 'src'));
    writeFileSync(join(root, 'src', 'a.py'), '');
  });
  afterEach(() => maasl.close());
  const heldKeys = async () => (await maasl.locks.snapshot()).map((it) => it.resource_key);
  const request = { ...alice, addresses: ['src/a.py::f', 'src/a.py::g'], ttlSeconds: 60, lock: 's1' };

  it('has the files of its symbols for a session of the agent, until it is given back', async () => {
    const { reservation } = await locking.reserve(request);
    expect(await maasl.locks.snapshot()).toMatchObject([
      {
        resource_key: expect.stringMatching(/src\/a\.py$/),
        holder_agent_id: 'alice',
        holder_session_id: 's1',
        fencing_token: String(Object.values(reservation.leases ?? {})[0]),
      },
    ]);
    // By another process, which knows of the lease what the record says.
    const other = await open({ guard: maasl });
    const { reservationId } = reservation;
    expect(await other.renew({ reservationId, runId: 'alice', ttlSeconds: 600 })).toMatchObject({
      warnings: [],
    });
    const [renewed] = await maasl.locks.snapshot();
    expect(renewed?.ttl_remaining_ms).toBeGreaterThan(500_000);
    await other.renew({ reservationId, runId: 'alice', ttlSeconds: 1 });
    expect((await maasl.locks.snapshot())[0]?.ttl_remaining_ms).toBeGreaterThan(500_000);
    expect(await other.release({ reservationId, runId: 'alice' })).toMatchObject({ warnings: [] });
    expect(await heldKeys()).toEqual([]);
  });

  it('is refused where the guard has lent a file, and leaves no record', async () => {
    await locking.reserve(request);
    await expect(locking.reserve({ ...request, ...bob, lock: true })).rejects.toMatchObject({
      code: 'RESOURCE_BUSY',
    });
    expect((await locking.list({ all: true })).reservations).toHaveLength(1);
  });

  it('gives the files back when its record cannot be written', async () => {
    mkdirSync(join(root, '.muse', 'coordination'), { recursive: true });
    symlinkSync(tmpdir(), join(root, '.muse', 'coordination', 'reservations'));
    await expect(locking.reserve(request)).rejects.toMatchObject({ code: 'PATH_DENIED' });
    expect(await heldKeys()).toEqual([]);
  });

  it('never locks what a link leads to outside of the repository', async () => {
    symlinkSync(tmpdir(), join(root, 'out'));
    await expect(locking.reserve({ ...request, addresses: ['out/x.py'] })).rejects.toMatchObject({
      code: 'PATH_DENIED',
    });
    expect(await heldKeys()).toEqual([]);
  });

  it('takes a guard; and says so when it is given back without one', async () => {
    await expect(reservations.reserve(request)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const { reservation } = await locking.reserve(request);
    const { warnings } = await reservations.release({
      reservationId: reservation.reservationId,
      runId: 'alice',
    });
    expect(warnings).toEqual([
      { subject: reservation.reservationId, reason: expect.stringContaining('leases') },
    ]);
  });
});

describe('where records are kept', () => {
  it('may be a database, under the name of the repository', async () => {
    const database = join(root, 'shared.db');
    const one = await open({ database, name: 'one' });
    const same = await open({ database, name: 'one' });
    const other = await open({ database, name: 'other' });
    await one.reserve({ ...alice, addresses: ['a.py'] });
    expect((await same.list()).reservations).toHaveLength(1);
    expect((await other.list()).reservations).toEqual([]);
    for (const each of [one, same, other]) await each.close();
  });

  it.each([
    ['folder', { folder: undefined }],
    ['name', { database: 'x.db' }],
  ])('needs %s', async (field, options) => {
    await expect(open(options)).rejects.toMatchObject({ code: 'INVALID_REQUEST', fields: { field } });
  });
});
