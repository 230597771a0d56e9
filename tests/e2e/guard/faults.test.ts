/** Holders that die or sleep, on real databases. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FileGuard } from '../../../ts/guard/files.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { Holder, type HolderSetup } from './holder-process.js';

const ttlMs = 600;
const bob = { agentId: 'bob', sessionId: 'bob-1' };

function faults(name: string, database: (base: string) => string): void {
  describe(`with locks on ${name}`, () => {
    let base: string;
    let root: string;
    let file: string;
    let maasl: Maasl;
    let files: FileGuard;
    let holder: Holder | undefined;

    beforeEach(async () => {
      base = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-faults-')));
      root = join(base, 'root');
      mkdirSync(root);
      file = join(root, 'a.txt');
      writeFileSync(file, 'before');
      maasl = await Maasl.open({ database: database(base) });
      files = await FileGuard.open(maasl, { roots: [root] });
    });
    afterEach(async () => {
      await holder?.kill();
      await maasl.close();
      rmSync(base, { recursive: true });
    });

    const start = (setup: Pick<HolderSetup, 'act' | 'stopAt'>) => {
      holder = new Holder({ database: database(base), root, file, ttlMs, ...setup });
      return holder;
    };

    it('another takes over from a holder that was killed, when its time is up, under a larger token', async () => {
      const held = await start({ act: 'hold' }).next();
      expect(await files.write(file, 'x', {}, { ...bob, maxWaitMs: 0 }).catch((e) => e.code)).toBe(
        'RESOURCE_BUSY',
      );
      await holder?.kill();
      const began = performance.now();
      const { token } = await files.write(file, 'of bob', {}, { ...bob, maxWaitMs: 20_000 });
      expect(token).toBeGreaterThan(BigInt(held.token ?? 0));
      expect(performance.now() - began).toBeLessThan(ttlMs + 5000);
      expect(readFileSync(file, 'utf8')).toBe('of bob');
    });

    it('refuses the write of a holder that slept past its time, between the last look and the rename', async () => {
      expect(await start({ act: 'write', stopAt: 'rename' }).next()).toMatchObject({ event: 'stopping' });
      const { token } = await files.write(file, 'of bob', {}, { ...bob, maxWaitMs: 20_000 });
      const said = await holder?.wake();
      expect(said).toMatchObject({ event: 'refused', code: 'FENCED' });
      expect(readFileSync(file, 'utf8')).toBe('of bob');
      expect(BigInt(String(said?.fields?.token))).toBeLessThan(token ?? 0n);
      expect(readdirSync(root)).toEqual(['a.txt']);
    });

    it('refuses it also when it slept before the last look', async () => {
      expect(await start({ act: 'write', stopAt: 'sync' }).next()).toMatchObject({ event: 'stopping' });
      await files.write(file, 'of bob', {}, { ...bob, maxWaitMs: 20_000 });
      expect(await holder?.wake()).toMatchObject({ event: 'refused', code: 'FENCED' });
      expect(readFileSync(file, 'utf8')).toBe('of bob');
      expect(readdirSync(root)).toEqual(['a.txt']);
    });

    it('does not mind a holder that slept and woke up in time', async () => {
      await start({ act: 'write', stopAt: 'rename' }).next();
      expect(await holder?.wake()).toMatchObject({ event: 'written' });
      expect(readFileSync(file, 'utf8')).toBe('of the holder');
    });
  });
}

faults('SQLite', (base) => join(base, 'stomp.db'));

describe('PostgreSQL', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.close());

  faults('PostgreSQL', () => server.url);

  it('those who wait get their lock although their connections were cut', async () => {
    const maasl = await Maasl.open({ database: server.url });
    const other = await Maasl.open({ database: server.url });
    const held = await maasl.locks.acquire('db:x', { ...bob, ttlMs: 60_000 });
    const waiting = other.locks.acquire('db:x', { agentId: 'cid', sessionId: 'cid', maxWaitMs: 30_000 });
    await sleep(200);
    await cutAll(server.url);
    await sleep(200);
    await held.release();
    const lease = await waiting;
    await lease.release();
    await Promise.all([maasl.close(), other.close()]);
  });

  it('leases and those who wait for them outlive a restart of the server', async () => {
    const maasl = await Maasl.open({ database: server.url });
    const held = await maasl.locks.acquire('db:y', { ...bob, ttlMs: 60_000 });
    const waiting = maasl.locks.acquire('db:y', { agentId: 'cid', sessionId: 'cid', maxWaitMs: 60_000 });
    await sleep(200);
    await server.stop('immediate');
    const renewal = held.renew();
    await sleep(300);
    await server.start();
    await renewal;
    await held.release();
    expect((await waiting).tokens.get('db:y')).toBeGreaterThan(held.tokens.get('db:y') ?? 0n);
    await maasl.close();
    expect(await connections(server.url)).toBe(0);
  });

  it('says that the server does not answer when it does not', async () => {
    const maasl = await Maasl.open({ database: server.url });
    await server.stop('immediate');
    const began = performance.now();
    const refused = await maasl.locks.acquire('db:z', bob).catch((error) => error);
    expect(refused).toMatchObject({ code: 'DB_BUSY', status: 503 });
    expect(performance.now() - began).toBeLessThan(8000);
    await server.start();
    await (await maasl.locks.acquire('db:z', bob)).release();
    await maasl.close();
  });
});

/** Of ours that are still open. */
async function connections(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await sleep(200); // the server notices a moment later
  const { rows } = await client.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name LIKE 'stomp-serve%'`,
  );
  await client.end();
  return rows[0].n;
}

async function cutAll(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'stomp-serve%'`,
  );
  await client.end();
}

describe('a step of the wall clock', () => {
  it('neither ends nor prolongs a lease', async () => {
    const base = mkdtempSync(join(tmpdir(), 'stomp-clock-'));
    const maasl = await Maasl.open({ database: join(base, 'stomp.db') });
    const real = Date.now;
    try {
      const lease = await maasl.locks.acquire('code:/a', { ...bob, ttlMs: 400 });
      Date.now = () => real() + 24 * 3600 * 1000;
      expect(lease.held).toBe(true);
      expect((await maasl.locks.snapshot())[0]?.ttl_remaining_ms).toBeLessThanOrEqual(400);
      await lease.renew(400);
      Date.now = () => real() - 24 * 3600 * 1000;
      const next = await maasl.locks.acquire('code:/a', {
        agentId: 'cid',
        sessionId: 'cid',
        maxWaitMs: 5000,
      });
      expect(lease.held).toBe(false);
      await next.release();
    } finally {
      Date.now = real;
      await maasl.close();
      expect(existsSync(base)).toBe(true);
      rmSync(base, { recursive: true });
    }
  });
});
