/** The audit of one session that several write: nobody's entries are lost, and the chains hold. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Audits } from '../../../ts/clutch/audit/audits.js';
import type { AuditHeads, RunAudit } from '../../../ts/clutch/audit/run-audit.js';
import { verifyAudit } from '../../../ts/clutch/audit/verify.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-audits-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = () => new Audits({ folder, secrets: [] });
const note = (n: number) => (audit: RunAudit) => audit.http({ n });
const session = () => join(folder, 'session');

it('two clutches that write at once have chains of their own', async () => {
  const [one, two] = [open(), open()];
  let heads: AuditHeads | undefined;
  await one.use('session', async (audit) => {
    note(1)(audit);
    await two.use('session', async (other) => {
      note(2)(other);
      heads = await other.sync();
    });
    note(3)(audit);
  });
  expect(verifyAudit(session(), heads)).toEqual({ faults: [], entries: 3 });
  expect(readFileSync(join(session(), 'beside-1', 'http.jsonl'), 'utf8')).toContain('"n":2');
});

it('whoever comes when the other has ended goes on with the same chain', async () => {
  const [one, two] = [open(), open()];
  await one.use('session', note(1));
  await Promise.all([two.use('session', note(2)), two.use('session', note(3))]);
  await one.use('session', note(4));
  expect(verifyAudit(session())).toEqual({ faults: [], entries: 4 });
  expect(readdirSync(session()).filter((name) => /beside|writer/.test(name))).toEqual([]);
});

it('the mark of a process that is gone keeps nobody away', async () => {
  await open().use('session', note(1));
  writeFileSync(join(session(), '.writer'), String(2 ** 22 + 1));
  await open().use('session', note(2));
  expect(verifyAudit(session()).entries).toBe(2);
  expect(readdirSync(session())).not.toContain('beside-1');
});

it('a fault beside is told with its place', async () => {
  const [one, two] = [open(), open()];
  await one.use('session', () => two.use('session', note(1)));
  const path = join(session(), 'beside-1', 'http.jsonl');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"n":1', '"n":2'));
  expect(verifyAudit(session()).faults).toMatchObject([{ file: join('beside-1', 'http.jsonl'), seq: 1 }]);
});
