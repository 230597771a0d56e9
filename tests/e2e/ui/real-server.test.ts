/** The dashboard of a real server: what a newcomer does in the first minute. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyAudit } from '../../../ts/clutch/audit/verify.js';
import type { RunWire } from '../../../ts/clutch/wire.js';
import { runScript, turns } from '../../unit/clutch/scripted-model.js';
import { RunningClutch } from '../running-clutch.js';
import { hasBrowser, useBrowser } from './chromium.js';
import { openDashboard } from './page.js';

describe.skipIf(!hasBrowser)('the dashboard of a server', () => {
  const browser = useBrowser();

  it('starts a run, edits what it would do, approves that, and both versions are in the audit', async () => {
    const script = runScript('echo proposed > out.txt');
    const running = await RunningClutch.open(turns({ text: 'I write it down.', calls: [script] }));
    const [address = ''] = /http:\S+\/ui#token=\S+/.exec(running.server.out) ?? [];
    const { page, complaints } = await openDashboard(browser(), { url: () => address });
    expect(page.url()).not.toContain('token');

    await page.getByRole('button', { name: 'New run' }).click();
    await page.getByLabel('Task').fill('Write it down');
    await page.getByRole('button', { name: 'Start', exact: true }).click();
    const card = page.getByRole('region', { name: /^Approval/ });
    const field = card.getByRole('textbox', { name: /^script/ });
    await expect.poll(() => field.inputValue()).toBe('echo proposed > out.txt');
    expect(existsSync(join(running.root, 'out.txt'))).toBe(false);
    await field.fill('echo edited > out.txt');
    await card.getByRole('button', { name: /^Approve/ }).click();
    await page.getByText('Done.').first().waitFor();
    expect(readFileSync(join(running.root, 'out.txt'), 'utf8')).toBe('edited\n');

    const { data } = await running.server.json<{ data: RunWire[] }>('/v1/runs');
    const folder = join(running.audit, data[0]?.session_id ?? '');
    const scripts = readdirSync(join(folder, 'scripts')).map((name) =>
      readFileSync(join(folder, 'scripts', name), 'utf8'),
    );
    expect(scripts.sort()).toEqual(['echo edited > out.txt', 'echo proposed > out.txt']);
    expect(verifyAudit(folder).faults).toEqual([]);
    // Every panel can be read with what this server has to say.
    for (const panel of ['Agents', 'Pool', 'Locks', 'Projects', 'Reservations', 'Rules', 'Log', 'System']) {
      await page.getByRole('tab', { name: panel }).click();
      await expect.poll(() => page.getByRole('tabpanel').textContent()).not.toMatch(/^\s*$|Loading/);
    }
    if (process.env['STOMP_SHOTS'])
      await page.screenshot({ path: join(process.env['STOMP_SHOTS'], 'real.png') });
    expect(complaints).toEqual([]);
  });

  it('is there again when the server was killed and started anew, with what waits', async () => {
    const script = runScript('true');
    const running = await RunningClutch.open(turns({ calls: [script] }), ['--port', '0']);
    const run = await running.start('Do it');
    const approval = await running.pending(run);
    await running.server.stop('SIGKILL');
    await running.restart();
    const [address = ''] = /http:\S+\/ui#token=\S+/.exec(running.server.out) ?? [];
    const { page } = await openDashboard(browser(), { url: () => address });
    const card = page.getByRole('region', { name: /^Approval/ });
    await card.getByRole('button', { name: /^Approve/ }).click();
    expect((await running.over(run)).status).toBe('done');
    expect(approval.status).toBe('pending');
  });
});
