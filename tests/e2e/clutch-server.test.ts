/** Runs on a real server: nothing happens before the person decides, once, whatever else happens meanwhile. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyAudit } from '../../ts/clutch/audit/verify.js';
import { runScript, turns } from '../unit/clutch/scripted-model.js';
import { RunningClutch } from './running-clutch.js';

/** Each time that it runs shows in the file. */
const script = runScript('echo once >> done.txt');

describe('a run on a server', () => {
  it('does once what one of two deciders has approved, and what no agent could', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }));
    const run = await running.start('Do it');
    const approval = await running.pending(run);
    expect((await running.resolve(approval, {}, {})).status).toBe(401);
    expect((await running.resolve(approval, {}, { authorization: 'Bearer wrong-wrong-wrong' })).status).toBe(
      401,
    );
    expect((await running.resolve(approval, { revision: 7 })).status).toBe(409);
    expect(existsSync(join(running.root, 'done.txt'))).toBe(false);
    const answers = await Promise.all([1, 2].map(() => running.resolve(approval)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await running.over(run)).toMatchObject({ status: 'done', output: 'Done.' });
    expect(readFileSync(join(running.root, 'done.txt'), 'utf8')).toBe('once\n');
    const http = readFileSync(join(running.audit, run.session_id, 'http.jsonl'), 'utf8');
    expect(http).toContain('"decision":"approve"');
    expect(http).not.toContain(running.person['authorization']?.slice(7));
    expect(verifyAudit(join(running.audit, run.session_id)).faults).toEqual([]);
  });

  it('waits where the server was killed, and does it once when there is one again', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }));
    const run = await running.start('Do it');
    const { id } = await running.pending(run);
    const oldToken = running.person;
    await running.server.stop('SIGKILL');
    await running.restart();
    const approval = await running.pending(run);
    expect(approval.id).toBe(id);
    expect((await running.resolve(approval, {}, oldToken)).status).toBe(401);
    expect((await running.resolve(approval, { edits: { script: 'echo edited >> done.txt' } })).status).toBe(
      200,
    );
    expect(await running.over(run)).toMatchObject({ status: 'done' });
    expect(readFileSync(join(running.root, 'done.txt'), 'utf8')).toBe('edited\n');
  });

  it('is denied where nobody decides in time', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }), ['--gate-timeout-seconds', '1']);
    const run = await running.start('Do it');
    const approval = await running.pending(run);
    expect(await running.over(run)).toMatchObject({ status: 'done' });
    const late = await running.resolve(approval);
    expect([late.status, await late.json()]).toMatchObject([410, { error: { code: 'APPROVAL_EXPIRED' } }]);
    expect(existsSync(join(running.root, 'done.txt'))).toBe(false);
  });
});

describe('the approver token', () => {
  it('is in the address of the dashboard and in a file of the owner, as long as the server runs', async () => {
    const { server, tokenFile } = await RunningClutch.open(turns());
    const token = readFileSync(tokenFile, 'utf8').trim();
    expect(server.out).toContain(`  dashboard ${server.url}/ui#token=${token}\n`);
    expect(server.err).not.toContain(token);
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
    expect((await server.stop('SIGTERM')).code).toBe(0);
    expect(existsSync(tokenFile)).toBe(false);
  });
});

describe('the stream of events of a server', () => {
  it('is no reason to stay when the server is stopped', async () => {
    const { server } = await RunningClutch.open(turns());
    const stream = await fetch(`${server.url}/v1/events`);
    const reading = stream.text().catch(() => '');
    const stopped = server.stop('SIGTERM');
    expect((await stopped).code).toBe(0);
    expect(await reading).toContain('event: snapshot');
  });
});
