import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunWire } from '../../../ts/clutch/wire.js';
import { hasBrowser, useBrowser } from './chromium.js';
import { DashboardServer } from './dashboard-server.js';
import { openDashboard } from './page.js';

describe.skipIf(!hasBrowser)('following in the dashboard', () => {
  const browser = useBrowser();
  let server: DashboardServer;
  let run: RunWire;
  let page: Page;

  beforeEach(async () => {
    server = new DashboardServer();
    await server.open();
    run = server.model.start({ id: 'run-1', agent_id: 'builder', prompt: 'Build it' });
    ({ page } = await openDashboard(browser(), server, { token: 'token-of-ann' }));
  });
  afterEach(async () => {
    await page.context().close();
    await server.close();
  });

  const say = (text: string) => server.model.emit('text', run.id, { text, reasoning: '' });
  const openRun = () =>
    page
      .getByRole('navigation')
      .getByRole('button', { name: /Build it/ })
      .click();
  const streamed = () => page.locator('.streaming').textContent();

  it('shows what a run says as it says it, calls and outcomes, and its end', async () => {
    await openRun();
    server.model.emit('request_start', run.id, { round: 1, provider: 'engine', model: 'm', messages: 1 });
    say('I will ');
    say('look.');
    await expect.poll(streamed).toBe('I will look.');
    const call = { call_id: 'c1', tool: 'read_file', payload: { path: '/a' } };
    server.model.emit('tool_execution', run.id, { ...call, phase: 'start' });
    await page.getByText('running read_file').waitFor();
    server.model.emit('tool_execution', run.id, {
      ...call,
      phase: 'end',
      output: 'no such file',
      failed: true,
    });
    await page.getByText('no such file').waitFor();
    const now = Date.now();
    const ended = { ...run, status: 'done' as const, output: 'All done.', updated_at: now, ended_at: now };
    server.model.emit('run_changed', run.id, { run: ended });
    await page.getByText('All done.').waitFor();
    await page.getByRole('tab', { name: 'Log' }).click();
    await expect
      .poll(() => page.getByRole('region', { name: 'Recent events' }).textContent())
      .toContain('read_file end, failed');
  });

  it('shows text of a model as text, whatever it looks like', async () => {
    const hostile = '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>';
    await openRun();
    say(hostile);
    server.model.ask(run, { preview: { title: hostile }, payload: { script: hostile } });
    await expect.poll(streamed).toBe(hostile);
    await page.getByRole('region', { name: /^Approval/ }).waitFor();
    expect(await page.locator('.row-title').textContent()).toBe(hostile);
    expect(await page.locator('img, #app script').count()).toBe(0);
    await expect.poll(() => page.title()).toBe('(1) stomp-serve');
  });

  it('says when the server is away, and has lost nothing when it is back', async () => {
    await openRun();
    say('before, ');
    await expect.poll(streamed).toBe('before, ');
    await server.close();
    await page.getByText('reconnecting…').waitFor();
    say('while it was away, ');
    server.model.ask(run, { preview: { title: 'Asked while it was away' }, payload: { script: 'ls' } });
    await server.open();
    await page.getByText('live', { exact: true }).waitFor();
    say('and after.');
    await expect.poll(streamed).toBe('before, while it was away, and after.');
    await page.getByRole('button', { name: /Asked while it was away/ }).waitFor();
  });

  it('goes on when the browser was offline', async () => {
    await page.context().setOffline(true);
    // What is open already stays open in a browser that is told to be offline; its next attempt fails.
    await server.close();
    await server.open();
    await page.getByText('reconnecting…').waitFor();
    server.model.ask(run, { preview: { title: 'Asked meanwhile' }, payload: { script: 'ls' } });
    await page.context().setOffline(false);
    await page.getByRole('button', { name: /Asked meanwhile/ }).waitFor();
  });

  it('takes a snapshot when the server no longer has all that was missed', async () => {
    await server.close();
    for (let n = 0; n < 50; n++) say('.');
    server.model.ask(run, { preview: { title: 'Asked long after' }, payload: { script: 'ls' } });
    server.kept = 10;
    await server.open();
    await page.getByRole('button', { name: /Asked long after/ }).waitFor();
  });

  it('begins anew with a server that has', async () => {
    await page.getByRole('navigation').getByText('Build it').waitFor();
    await server.close();
    server.model.forget();
    server.model.start({ id: 'run-2', prompt: 'Something else' });
    await server.open();
    await page.getByRole('navigation').getByText('Something else').waitFor();
    expect(await page.getByText('Build it').count()).toBe(0);
  });

  it('keeps the focus where it is when the list changes', async () => {
    const first = server.model.ask(run, { preview: { title: 'First' }, payload: { script: 'one' } });
    await page.getByRole('region', { name: 'Approval: First' }).waitFor();
    const field = page.getByRole('textbox', { name: /^script/ });
    await field.focus();
    await page.keyboard.type('x');
    server.model.ask(run, { preview: { title: 'Second' }, payload: { script: 'two' } });
    await page.getByRole('button', { name: /Second/ }).waitFor();
    const focused = 'document.activeElement.tagName';
    expect(await page.evaluate(focused)).toBe('TEXTAREA');
    server.model.resolve(first.id, { decision: 'reject', revision: 1 }, 'bob');
    await page.getByText('rejected by bob').waitFor();
    expect(await page.evaluate(focused)).not.toBe('BODY');
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByRole('region', { name: 'Approval: Second' }).waitFor();
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toContain('Second');
  });

  it('says politely who waits', async () => {
    server.model.ask(run, { preview: { title: 'Delete /a' }, payload: { path: '/a' } });
    const said = page.getByRole('status').filter({ hasText: 'builder waits for you: Delete /a' });
    await said.waitFor();
    expect(await said.getAttribute('aria-live')).toBe('polite');
  });

  it('hides panels that the key may not see', async () => {
    server.forbidden.add('/v1/admin/stats');
    await page.reload();
    await page.getByRole('tab', { name: 'Locks' }).waitFor();
    await expect.poll(() => page.getByRole('tab', { name: 'Pool' }).count()).toBe(0);
  });

  it.each([
    ['Agents', 'reviewer'],
    ['Pool', '1696 in use'],
    ['Locks', 'file:src/cart/checkout.ts'],
    ['Projects', 'The web shop'],
    ['Reservations', 'whose signature builder changes'],
    ['System', '% of a core'],
  ])('shows %s', async (name, words) => {
    await page.getByRole('tab', { name }).click();
    await expect.poll(() => page.getByRole('tabpanel').textContent()).toContain(words);
  });
});
