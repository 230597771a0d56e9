import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import type { DocgenRecord } from '../../../ts/guard/docgen-ring.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { type GuardToolsOptions, guardTools } from '../../../ts/guard/tools/guard-tools.js';
import { Connection } from '../../../ts/tools/connection.js';
import type { Caller } from '../../../ts/tools/tool.js';
import { type Fault, Toolbox } from '../../../ts/tools/toolbox.js';
import { type OpenGuard, openGuard } from './open-guard.js';

const ann: Caller = { agentId: 'ann', sessionId: 'ann-1' };
const bob: Caller = { agentId: 'bob', sessionId: 'bob-1' };

interface LeaseBody {
  agent_id: string;
  leases: { resource_key: string; fencing_token: string }[];
  ttl_ms: number;
  expires_at: string;
}
interface FileBody {
  path: string;
  content: string;
  sha256: string | null;
  bytes: number;
  fencing_token: string | null;
  replacements: number;
}
interface LocksBody {
  locks: { resource_key: string; holder_agent_id: string; fencing_token: string; waiters: number }[];
  waiting: { agent_id: string; resource_keys: string[] }[];
}

let guard: OpenGuard;
let root: string;
let maasl: Maasl;
let tools: Toolbox;
let faults: Fault[];

beforeEach(async () => {
  guard = await openGuard();
  ({ root, maasl, tools, faults } = guard);
});

const withDocgen = (docgen: GuardToolsOptions['docgen']) =>
  new Toolbox([guardTools({ maasl, files: guard.files, docgen })], {
    onFault: (fault) => faults.push(fault),
  });

const call = async <T>(name: string, args: unknown, caller?: Caller): Promise<T> =>
  (await tools.call(name, args, caller)) as T;

async function errorOf(name: string, args: unknown, caller: Caller | undefined = ann): Promise<StompError> {
  const error = await tools.call(name, args, caller).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(StompError);
  return error as StompError;
}

describe('file tools', () => {
  it('write, read, edit, move and remove files below the first root', async () => {
    const written = await call<FileBody>('fs_write', { path: 'a.txt', content: 'one two' }, ann);
    expect(written).toMatchObject({ path: join(root, 'a.txt'), bytes: 7 });
    expect(written.fencing_token).toMatch(/^\d+$/);
    const read = await call<FileBody>('fs_read', { path: 'a.txt' }, bob);
    expect(read).toMatchObject({ content: 'one two', encoding: 'utf8', sha256: written.sha256 });
    const edit = { path: 'a.txt', old_text: 'two', new_text: '2', expected_sha256: read.sha256 };
    expect(await call<FileBody>('fs_edit', edit, bob)).toMatchObject({ replacements: 1, bytes: 5 });
    await call('fs_write', { path: 'a.txt', content: '!', mode: 'append' }, ann);
    await call('fs_mkdir', { path: 'b/c' }, ann);
    await call('fs_move', { from: 'a.txt', to: 'b/c/d.txt' }, ann);
    expect(readFileSync(join(root, 'b/c/d.txt'), 'utf8')).toBe('one 2!');
    expect((await errorOf('fs_delete', { path: 'b' })).fields.field).toBe('recursive');
    const gone = await call<FileBody>('fs_delete', { path: 'b', recursive: true }, ann);
    expect(gone).toMatchObject({ path: join(root, 'b'), sha256: null });
    expect((await errorOf('fs_read', { path: 'b/c/d.txt' })).code).toBe('NOT_FOUND');
  });

  it('take base64, and null for a file that must not be there', async () => {
    const bytes = Buffer.from([0, 255, 10]).toString('base64');
    const args = { path: 'x.bin', content: bytes, encoding: 'base64', expected_sha256: null };
    await call('fs_write', args, ann);
    expect((await call<FileBody>('fs_read', { path: 'x.bin', encoding: 'base64' }, ann)).content).toBe(bytes);
    expect((await errorOf('fs_write', args)).code).toBe('STALE_VERSION');
  });

  it('understand the names in camel case', async () => {
    writeFileSync(join(root, 'a.txt'), 'x x');
    const edit = { path: 'a.txt', oldText: 'x', newText: 'y', expectedReplacements: 2 };
    expect(await call<FileBody>('fs_edit', edit, ann)).toMatchObject({ replacements: 2 });
    const stale = await errorOf('fs_write', { path: 'a.txt', content: '', expectedSha256: 'beef' });
    expect(stale.code).toBe('STALE_VERSION');
    const twice = await errorOf('fs_edit', { path: 'a.txt', oldText: 'x', old_text: 'y', new_text: '' });
    expect(twice).toMatchObject({ code: 'INVALID_REQUEST', fields: { field: 'old_text' } });
  });

  it('name the argument as it is on the wire when the guard refuses it', async () => {
    writeFileSync(join(root, 'a.txt'), 'x x');
    const { code, fields } = await errorOf('fs_edit', { path: 'a.txt', old_text: 'x', new_text: 'y' });
    expect(code).toBe('INVALID_REQUEST');
    expect(fields).toMatchObject({ field: 'old_text', expected_replacements: 1, found_replacements: 2 });
  });

  it('stay within the roots', async () => {
    for (const path of ['../out.txt', '/etc/hosts', guard.database]) {
      expect((await errorOf('fs_write', { path, content: '' })).code).toBe('PATH_DENIED');
    }
    expect((await errorOf('fs_delete', { path: '.' })).code).toBe('PATH_DENIED');
    expect((await errorOf('fs_read', { path: '' })).code).toBe('INVALID_REQUEST');
  });

  it('work within the lease of the same session, and with its token', async () => {
    const { leases } = await call<LeaseBody>(
      'lock_acquire',
      { resources: [{ resource_class: 'CRIT_CODE', identifier: 'a.txt' }] },
      ann,
    );
    const [lease] = leases;
    expect(lease?.resource_key).toBe(`code:${join(root, 'a.txt')}`);
    const mine = { path: 'a.txt', content: '1', fencing_token: lease?.fencing_token };
    expect((await call<FileBody>('fs_write', mine, ann)).fencing_token).toBe(lease?.fencing_token);
    const busy = await errorOf('fs_write', { path: 'a.txt', content: '2' }, bob);
    expect(busy).toMatchObject({ code: 'RESOURCE_BUSY', fields: { holder_agent_id: 'ann' } });
    await call('lock_release', lease, ann);
    expect((await errorOf('fs_write', mine)).code).toBe('FENCED');
    expect(readFileSync(join(root, 'a.txt'), 'utf8')).toBe('1');
  });
});

describe('lock tools', () => {
  it('take, renew and give back a set of keys', async () => {
    const body = await call<LeaseBody>('lock_acquire', { keys: ['code:/b', 'x:a'], ttl_ms: 5000 }, ann);
    expect(body).toMatchObject({ agent_id: 'ann', session_id: 'ann-1', ttl_ms: 5000 });
    expect(body.leases.map((lease) => lease.resource_key)).toEqual(['code:/b', 'x:a']);
    expect(Date.parse(body.expires_at)).toBeGreaterThan(Date.now() + 3000);
    const renewed = await call<LeaseBody>('lock_renew', { leases: body.leases, ttl_ms: 60_000 }, ann);
    expect(Date.parse(renewed.expires_at)).toBeGreaterThan(Date.now() + 50_000);
    expect((await maasl.locks.snapshot())[0]?.ttl_remaining_ms).toBeGreaterThan(50_000);
    expect(await call('lock_release', { leases: body.leases }, ann)).toEqual({
      released: ['code:/b', 'x:a'],
    });
    expect(await maasl.locks.snapshot()).toEqual([]);
    const late = await errorOf('lock_renew', { leases: body.leases });
    expect(late).toMatchObject({ code: 'LEASE_LOST', fields: { resource_keys: ['code:/b', 'x:a'] } });
    expect((await errorOf('lock_release', { leases: body.leases })).code).toBe('LEASE_LOST');
  });

  it('take what the class says where nothing else is said', async () => {
    const ofDocs = { resources: [{ resource_class: 'IDEMP_DOCS', identifier: 'repo/a.md' }] };
    expect(await call<LeaseBody>('lock_acquire', ofDocs, ann)).toMatchObject({ ttl_ms: 120_000 });
    expect(await call<LeaseBody>('lock_acquire', { keys: ['docgen:x'] }, ann)).toMatchObject({
      ttl_ms: 120_000,
    });
    expect(await call<LeaseBody>('lock_acquire', { keys: ['other'] }, ann)).toMatchObject({ ttl_ms: 30_000 });
    await call('lock_acquire', { keys: ['code:/a'] }, ann);
    const busy = await errorOf('lock_acquire', { keys: ['code:/a'] }, bob);
    expect(busy).toMatchObject({ code: 'RESOURCE_BUSY', fields: { max_wait_ms: 0 } });
    const hurried = await errorOf('lock_acquire', { keys: ['code:/a'], batch: true, max_wait_ms: 30 }, bob);
    expect(hurried.fields.max_wait_ms).toBe(30);
  });

  it('wait longer in a batch', async () => {
    const held = await call<LeaseBody>('lock_acquire', { keys: ['code:/a'] }, ann);
    const waiting = call<LeaseBody>('lock_acquire', { keys: ['code:/a'], batch: true }, bob);
    await sleep(50);
    await call('lock_release', { leases: held.leases }, ann);
    expect((await waiting).agent_id).toBe('bob');
  });

  it('let readers in beside each other', async () => {
    const read = { keys: ['code:/a'], access: 'read' };
    await call('lock_acquire', read, ann);
    await call('lock_acquire', read, bob);
    expect((await errorOf('lock_acquire', { keys: ['code:/a'] }, bob)).code).toBe('RESOURCE_BUSY');
    const mixed = {
      resources: [
        { resource_class: 'CRIT_CODE', identifier: '/a', access: 'read' },
        { resource_class: 'CRIT_CODE', identifier: '/b' },
      ],
    };
    await call('lock_acquire', mixed, bob);
    expect((await errorOf('lock_acquire', { keys: ['code:/b'], access: 'read' }, ann)).code).toBe(
      'RESOURCE_BUSY',
    );
  });

  it('lock a folder by a path that ends in a slash', async () => {
    const ofFolder = { resources: [{ resource_class: 'CRIT_CODE', identifier: 'sub/' }] };
    const { leases } = await call<LeaseBody>('lock_acquire', ofFolder, ann);
    expect(leases[0]?.resource_key).toBe(`code:${join(root, 'sub')}/`);
    expect((await errorOf('fs_write', { path: 'sub/x', content: '' }, bob)).code).toBe('RESOURCE_BUSY');
  });

  it('leave the queue when they are called off, and keep no lease that nobody hears of', async () => {
    await call('lock_acquire', { keys: ['code:/a'] }, ann);
    const abort = new AbortController();
    const waiting = errorOf(
      'lock_acquire',
      { keys: ['code:/a'], batch: true },
      { ...bob, signal: abort.signal },
    );
    await sleep(30);
    expect((await call<LocksBody>('locks', {})).waiting).toEqual([
      { agent_id: 'bob', session_id: 'bob-1', resource_keys: ['code:/a'] },
    ]);
    abort.abort();
    expect((await waiting).code).toBe('CANCELLED');
    const late = new AbortController();
    maasl.telemetry.sink = ({ event }) => event === 'lock_acquired' && late.abort();
    const granted = errorOf('lock_acquire', { keys: ['code:/free'] }, { ...bob, signal: late.signal });
    expect((await granted).code).toBe('CANCELLED');
    expect((await maasl.locks.snapshot()).map((lock) => lock.resource_key)).toEqual(['code:/a']);
  });

  it('outlive the server that took them', async () => {
    const { leases } = await call<LeaseBody>('lock_acquire', { keys: ['code:/a'] }, ann);
    await maasl.close();
    const next = await Maasl.open({ database: guard.database });
    expect((await next.locks.snapshot()).map((lock) => lock.fencing_token)).toEqual([
      leases[0]?.fencing_token,
    ]);
    await next.close();
  });

  it('end with their session where it says so, each as often as it was taken', async () => {
    const connection = new Connection();
    const caller = { ...ann, connection };
    const first = await call<LeaseBody>('lock_acquire', { keys: ['code:/a', 'code:/b'] }, caller);
    await call('lock_acquire', { keys: ['code:/a'] }, caller);
    await call('lock_acquire', { keys: ['code:/c'], ttl_ms: 1 }, caller);
    await call('lock_acquire', { keys: ['code:/d'] }, ann);
    await call('lock_release', first.leases[1], caller);
    await call('lock_renew', { leases: first.leases.slice(0, 1) }, caller);
    await sleep(5);
    await connection.giveBack();
    expect((await maasl.locks.snapshot()).map((lock) => lock.resource_key)).toEqual(['code:/d']);
  });

  it('end with their session also when they were prolonged, or given back less often than taken', async () => {
    const connection = new Connection();
    const caller = { ...ann, connection };
    const take = (key: string, ttlMs: number) =>
      call<LeaseBody>('lock_acquire', { keys: [key], ttl_ms: ttlMs }, caller);
    const renewed = await take('code:/renewed', 500);
    await call('lock_renew', { leases: renewed.leases, ttl_ms: 60_000 }, caller);
    await take('code:/again', 500);
    await take('code:/again', 60_000);
    const twice = await take('code:/twice', 60_000);
    await take('code:/twice', 60_000);
    await call('lock_release', twice.leases[0], caller);
    await sleep(550);
    expect(await maasl.locks.snapshot()).toHaveLength(3);
    await connection.giveBack();
    expect(await maasl.locks.snapshot()).toEqual([]);
  });
});

describe('looking tools', () => {
  it('show what is held and who waits, by either name, to anybody', async () => {
    await call('lock_acquire', { keys: ['code:/a'] }, ann);
    const body = await call<LocksBody>('llmc.locks', undefined);
    expect(body.locks).toMatchObject([{ resource_key: 'code:/a', holder_agent_id: 'ann', waiters: 0 }]);
    expect(body).toEqual({ ...(await call<LocksBody>('locks', {})), locks: [expect.anything()] });
  });

  it('count what happened and tell the classes', async () => {
    await call('fs_write', { path: 'a', content: '' }, ann);
    const stats = await call<Record<string, unknown>>('llmc.stomp_stats', {});
    expect(stats).toMatchObject({
      enabled: true,
      backend: 'sqlite',
      database: guard.database,
      roots: [root],
      held: 0,
      waiting: 0,
      events: { lock_acquired: 1, lock_released: 1, stomp_guard_call: 1 },
    });
    const classes = stats['resource_classes'] as { name: string }[];
    expect(classes[0]).toEqual({
      name: 'CRIT_CODE',
      concurrency: 'mutex',
      scope: 'file',
      prefix: 'code',
      strategy: 'fail_closed',
      lease_ttl_ms: 30_000,
      interactive_max_wait_ms: 0,
      batch_max_wait_ms: 2000,
    });
  });

  it('show the docs that were made, none where nobody makes any', async () => {
    expect(await call('docgen_status', {})).toEqual({ operations: [] });
    const [first, second] = ['a.md', 'b.md'].map((file) => ({ file, status: 'noop' }) as DocgenRecord);
    const docgen = { status: async () => [first, second] as DocgenRecord[] };
    const withDocs = withDocgen(docgen);
    expect(await withDocs.call('llmc.docgen_status', {})).toEqual({
      operations: [second, first],
    });
  });
});

describe('every tool', () => {
  it('that acquires or changes something wants to know for whom', async () => {
    const acting = tools.list.filter(
      (tool) => !['locks', 'stomp_stats', 'docgen_status'].includes(tool.name),
    );
    expect(acting.map((tool) => tool.name)).toEqual([
      'lock_acquire',
      'lock_renew',
      'lock_release',
      'fs_read',
      'fs_write',
      'fs_edit',
      'fs_move',
      'fs_delete',
      'fs_mkdir',
    ]);
    for (const { name } of acting) {
      const error = await tools.call(name, {}, undefined).catch((caught: StompError) => caught);
      expect(error).toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining('X-Agent-ID'),
      });
    }
  });

  it('describes each of its arguments', () => {
    for (const { inputSchema, description } of tools.list) {
      expect(description.length).toBeGreaterThan(20);
      for (const property of Object.values(inputSchema.properties)) expect(property.description).toBeTruthy();
      for (const name of inputSchema.required) expect(inputSchema.properties).toHaveProperty(name);
    }
  });

  it.each([
    [
      'fs_write',
      { path: 'a', content: '', fencing_tokn: '1' },
      'fencing_tokn',
      'Did you mean "fencing_token"?',
    ],
    ['fs_edit', { path: 'a', oldTxt: 'x', newText: '' }, 'oldTxt', 'Did you mean "old_text"?'],
    ['fs_read', { path: 'a', constructor: 1 }, 'constructor', 'There are path'],
    ['fs_read', JSON.parse('{"path": "a", "__proto__": 1}'), '__proto__', 'There are path'],
    ['locks', { key: 'x' }, 'key', 'There are none'],
    ['fs_read', {}, 'path', '"path" is missing'],
    ['fs_read', { path: null }, 'path', '"path" is missing'],
    ['fs_read', { path: 7 }, 'path', 'must be a text, not 7'],
    ['fs_read', [], 'arguments', 'must be an object'],
    ['fs_read', 'a', 'arguments', 'must be an object'],
    ['fs_read', { path: 'a', encoding: 'latin1' }, 'encoding', 'one of utf8, base64'],
    ['fs_write', { path: 'a', content: '', expected_sha256: 7 }, 'expected_sha256', 'a text or null'],
    ['fs_delete', { path: 'a', recursive: 'yes' }, 'recursive', 'true or false'],
    ['fs_read', { path: 'a', max_wait_ms: 1.5 }, 'max_wait_ms', 'a whole number from 0'],
    ['fs_read', { path: 'a', fencing_token: 7 }, 'fencing_token', 'a text'],
    ['fs_read', { path: 'a', fencing_token: '-7' }, 'fencing_token', 'a text such as "42"'],
    ['fs_read', { path: 'a', fencing_token: '9223372036854775808' }, 'fencing_token', 'at most'],
    ['lock_acquire', {}, 'resources', 'given, or "keys"'],
    ['lock_acquire', { keys: [] }, 'keys', 'a list of 1 to 256'],
    ['lock_acquire', { keys: ['a', 7] }, 'keys[1]', 'a text'],
    [
      'lock_acquire',
      { resources: [{ resource_class: 'CRIT_CODE' }] },
      'resources[0].identifier',
      'is missing',
    ],
    ['lock_acquire', { keys: ['a'], ttl_ms: 0 }, 'ttl_ms', 'from 1 to 86400000'],
    ['lock_release', {}, 'leases', 'resource_key'],
    ['lock_release', { resource_key: 'a' }, 'fencing_token', 'given with "resource_key"'],
    ['lock_renew', { fencing_token: '1' }, 'resource_key', 'given with "fencing_token"'],
    ['lock_renew', { leases: [{ resource_key: 'a' }] }, 'leases[0].fencing_token', 'is missing'],
    ['lock_release', { resource_key: 'a', fencing_token: '1', leases: [] }, 'leases', 'a list of 1'],
  ])('%s refuses %j by name', async (name, args, field, message) => {
    const error = await errorOf(name, args);
    expect(error).toMatchObject({ code: 'INVALID_REQUEST', status: 400, fields: { field } });
    expect(error.message).toContain(message);
  });

  it('takes null for what is left out', async () => {
    const args = { path: 'a', content: 'x', encoding: null, mode: null, fencing_token: null, batch: null };
    await call('fs_write', args, ann);
    expect(readFileSync(join(root, 'a'), 'utf8')).toBe('x');
  });

  it('answers any arguments with a StompError that is no fault', async () => {
    const names = tools.list.flatMap(({ inputSchema }) => Object.keys(inputSchema.properties));
    const argument = fc.dictionary(fc.constantFrom(...names, 'other'), fc.jsonValue({ maxDepth: 2 }));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...tools.list), argument, async (tool, args) => {
        const short = { ...args, ...('max_wait_ms' in args ? { max_wait_ms: 0 } : {}) };
        await tools.call(tool.name, short, ann).catch((error: unknown) => {
          expect(error).toBeInstanceOf(StompError);
        });
        expect(faults).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('names the nearest when there is no such tool', async () => {
    const error = await errorOf('fs_raed', {});
    expect(error).toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('"fs_read"') });
    expect((await errorOf('constructor', {})).code).toBe('NOT_FOUND');
    expect((await errorOf('llmc.fs_read', {})).code).toBe('NOT_FOUND');
    const stranger = await errorOf('lock_acquire', {
      resources: [{ resource_class: 'CRIT_CODES', identifier: 'a' }],
    });
    expect(stranger).toMatchObject({ code: 'UNKNOWN_RESOURCE_CLASS' });
  });

  it('keeps what nobody foresaw to itself, and writes it down under an id', async () => {
    const secret = new TypeError('secret');
    const broken = withDocgen({ status: () => Promise.reject(secret) });
    const error = await broken.call('docgen_status', {}).catch((caught: StompError) => caught);
    const [fault] = faults;
    expect(error).toMatchObject({ code: 'INTERNAL_ERROR', fields: { correlation_id: fault?.correlationId } });
    expect((error as StompError).message).not.toContain('secret');
    expect(fault).toMatchObject({ tool: 'docgen_status', error: secret });
  });

  it('names what it was given in errors, but not all of it', async () => {
    const long = 'x'.repeat(100_000);
    const lease = { resource_key: long, fencing_token: '1' };
    const errors = [
      await errorOf('lock_acquire', { resources: [{ resource_class: long, identifier: 'x' }] }),
      await errorOf('lock_renew', lease),
      await errorOf('lock_release', lease),
      await errorOf('fs_read', { path: long }),
    ];
    for (const { message, fields } of errors) {
      expect(message.length + JSON.stringify(fields).length).toBeLessThan(1000);
    }
  });

  it('takes an address that cannot be decoded for no fault of its own', async () => {
    const resources = [{ resource_class: 'CRIT_DB', identifier: 'file:///%zz' }];
    expect(await errorOf('lock_acquire', { resources })).toMatchObject({
      code: 'INVALID_REQUEST',
      fields: { field: 'identifier' },
    });
  });

  it('gives an id to internal errors that the guard tells itself', async () => {
    const told = new StompError('INTERNAL_ERROR', 'The disk is full.', { fields: { file: '/a' } });
    const broken = withDocgen({ status: () => Promise.reject(told) });
    const error = await broken.call('docgen_status', {}).catch((caught: StompError) => caught);
    expect(error).toMatchObject({
      code: 'INTERNAL_ERROR',
      message: 'The disk is full.',
      fields: { file: '/a', correlation_id: faults[0]?.correlationId },
    });
  });
});
