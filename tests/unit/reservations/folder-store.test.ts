import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderStore } from '../../../ts/reservations/records/folder-store.js';
import type { Reservation } from '../../../ts/reservations/types.js';
import { recordStoreSuite } from './record-store.suite.js';
import { folderBench } from './stores.js';

recordStoreSuite('in a folder', folderBench);

const text = (id: string, change: object = {}) =>
  `${JSON.stringify({
    schema_version: 1,
    reservation_id: id,
    run_id: 'a',
    branch: 'main',
    addresses: ['a.py::f'],
    created_at: '2026-03-18T12:00:00+00:00',
    expires_at: '2026-03-18T13:00:00+00:00',
    operation: null,
    ...change,
  })}\n`;

const reservation = (reservationId: string): Reservation => ({
  reservationId,
  runId: 'a',
  branch: 'main',
  addresses: ['a.py::f'],
  createdAt: new Date(0),
  expiresAt: new Date(1000),
  operation: null,
});

describe('a folder of records', () => {
  let root: string;
  let outside: string;
  let store: FolderStore;
  const place = (...parts: string[]) => join(root, '.muse', 'coordination', ...parts);
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'stomp-folder-'));
    outside = mkdtempSync(join(tmpdir(), 'stomp-outside-'));
    store = await FolderStore.open(root);
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
    rmSync(outside, { recursive: true });
  });

  it('passes over each bad file with one warning, and loads the rest', async () => {
    mkdirSync(place('reservations'), { recursive: true });
    const put = (name: string, content: string | Buffer) =>
      writeFileSync(place('reservations', name), content);
    put('good.json', text('good'));
    put('null.json', 'null');
    put('list.json', '[1]');
    put('truncated.json', text('truncated').slice(0, 60));
    put('naive.json', text('naive', { expires_at: '2026-03-18T13:00:00' }));
    put('later.json', text('later', { schema_version: 2 }));
    put('misnamed.json', text('other'));
    put('latin1.json', Buffer.from(text('latin1', { branch: 'ü' }), 'latin1'));
    put('marked.json', `\ufeff${text('marked')}`);
    put('huge.json', text('huge'));
    truncateSync(place('reservations', 'huge.json'), 2 ** 31);
    mkdirSync(place('reservations', 'folder.json'));
    writeFileSync(join(outside, 'linked.json'), text('linked'));
    symlinkSync(join(outside, 'linked.json'), place('reservations', 'linked.json'));
    put('notes.txt', 'not a record');
    const { reservations, warnings } = await store.read();
    expect(reservations.map((one) => one.reservationId)).toEqual(['good']);
    const reasons = Object.fromEntries(
      warnings.map(({ subject, reason }) => [
        subject.replace('.muse/coordination/reservations/', ''),
        reason,
      ]),
    );
    expect(reasons).toEqual({
      'folder.json': 'is no file',
      'huge.json': expect.stringContaining('2147483648 bytes'),
      'later.json': expect.stringContaining('later schema version 2'),
      'latin1.json': 'is not UTF-8',
      'linked.json': expect.stringContaining('link'),
      'list.json': expect.stringContaining('list'),
      'marked.json': expect.stringContaining('no JSON'),
      'misnamed.json': expect.stringContaining('name'),
      'naive.json': expect.stringContaining('offset'),
      'null.json': expect.stringContaining('null'),
      'truncated.json': expect.stringContaining('no JSON'),
    });
    expect(warnings).toHaveLength(11);
  });

  it('is kept out of git when it is made here, and only then', async () => {
    await store.addReservation(reservation('r'));
    expect(readFileSync(place('.gitignore'), 'utf8')).toBe('*\n');
    rmSync(place('.gitignore'));
    await store.addReservation(reservation('r2'));
    expect(existsSync(place('.gitignore'))).toBe(false);
  });

  it('is not made by looking', async () => {
    await store.read();
    await store.changed(AbortSignal.timeout(20));
    expect(readdirSync(root)).toEqual([]);
  });

  it.each([
    ['.muse', []],
    ['coordination', ['.muse']],
    ['reservations', ['.muse', 'coordination']],
  ])('that a link %s leads out of the repository is neither written nor read', async (name, parts) => {
    mkdirSync(join(root, ...parts), { recursive: true });
    mkdirSync(join(outside, 'reservations'));
    writeFileSync(join(outside, 'linked.json'), text('linked'));
    symlinkSync(outside, join(root, ...parts, name));
    const before = readdirSync(outside, { recursive: true });
    await expect(store.addReservation(reservation('r'))).rejects.toMatchObject({ code: 'PATH_DENIED' });
    const { reservations, warnings } = await store.read();
    expect(reservations).toEqual([]);
    expect(warnings).toEqual([
      { subject: [...parts, name].join('/'), reason: expect.stringContaining('link') },
    ]);
    expect(readdirSync(outside, { recursive: true })).toEqual(before);
  });

  it('is not locked through a link, nor by a file that is no lock', async () => {
    mkdirSync(place(), { recursive: true });
    writeFileSync(join(outside, 'file'), '');
    symlinkSync(join(outside, 'file'), place('lock.db'));
    await expect(store.alone(async () => 1)).rejects.toMatchObject({ code: 'PATH_DENIED' });
    rmSync(place('lock.db'));
    writeFileSync(place('lock.db'), 'SQLite format 3');
    await expect(store.alone(async () => 1)).rejects.toMatchObject({ code: 'PATH_DENIED' });
    rmSync(place('lock.db'));
    await expect(store.alone(async () => 1)).resolves.toBe(1);
    expect(readFileSync(place('lock.db'))).toHaveLength(0);
  });

  it('is rid of what a killed writer left behind, once that is old', async () => {
    await store.addReservation(reservation('r'));
    const [old, young] = ['.00112233445566aa.tmp', '.00112233445566bb.tmp'];
    for (const name of [old, young]) writeFileSync(place('reservations', name), '{"schema');
    utimesSync(place('reservations', old), 0, 0);
    expect((await store.read()).warnings).toEqual([]);
    await store.archive(new Date(0));
    expect(readdirSync(place('reservations')).sort()).toEqual([young, 'r.json']);
  });

  it('keeps what it has moved aside', async () => {
    await store.addReservation(reservation('r'));
    const before = readFileSync(place('reservations', 'r.json'), 'utf8');
    expect(await store.archive(new Date(2000))).toBe(1);
    expect(readFileSync(place('archive', 'reservations', 'r.json'), 'utf8')).toBe(before);
  });

  it('must be of a folder that is there', async () => {
    await expect(FolderStore.open(join(root, 'none'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
