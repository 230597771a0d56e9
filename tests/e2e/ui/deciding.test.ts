import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ApprovalWire, RunWire } from '../../../ts/clutch/wire.js';
import { hasBrowser, useBrowser } from './chromium.js';
import { DashboardServer } from './dashboard-server.js';
import { openDashboard } from './page.js';

const script = { script: 'npm test\nnpm run lint', base_dir: '/home/ann/shop', timeout_s: 60 };

describe.skipIf(!hasBrowser)('deciding in the dashboard', () => {
  const browser = useBrowser();
  let server: DashboardServer;
  let run: RunWire;
  let complaints: readonly string[];

  beforeEach(async () => {
    server = new DashboardServer();
    await server.open();
    run = server.model.start({ id: 'run-1', agent_id: 'builder' });
  });
  afterEach(async () => {
    await Promise.all(
      browser()
        .contexts()
        .map((context) => context.close()),
    );
    await server.close();
    expect(complaints).toEqual([]);
  });

  async function opened(options: BrowserContextOptions & { token?: string } = {}): Promise<Page> {
    const dashboard = await openDashboard(browser(), server, { token: 'token-of-ann', ...options });
    complaints = dashboard.complaints;
    return dashboard.page;
  }
  const status = ({ id }: ApprovalWire) => server.model.approval(id).status;
  const decisions = () => server.model.requests.filter(({ path }) => path.endsWith('/resolve'));
  /** Keys decide nothing in the moment in which something appears: again, until it is there. */
  const pressFor = (page: Page, key: string, wanted: Locator) =>
    expect
      .poll(async () => {
        if (!(await wanted.isVisible())) await page.keyboard.press(key);
        return wanted.isVisible();
      })
      .toBe(true);

  it('shows who asks for what, and approves it with the mouse', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    const card = page.getByRole('region', { name: /^Approval/ });
    await expect.poll(() => card.getByRole('textbox', { name: /^script/ }).inputValue()).toBe(script.script);
    expect(await card.getByLabel('timeout s').inputValue()).toBe('60');
    expect(await card.textContent()).toContain('builder');
    await card.getByRole('button', { name: 'Approve' }).click();
    await expect.poll(() => status(approval)).toBe('approved');
    expect(decisions().map(({ body }) => body)).toEqual([{ decision: 'approve', revision: 1 }]);
    await card.getByText('approved by ann').waitFor();
    await expect.poll(() => page.title()).toBe('stomp-serve');
  });

  it('edits and approves by keys alone, and sends what was edited', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    await page.getByRole('region', { name: /^Approval/ }).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('e');
    await page.keyboard.press('Control+End');
    await page.keyboard.type('\nja');
    const edit = page.getByRole('region', { name: 'Edit of script' });
    await expect.poll(() => edit.textContent()).toContain('+ja');
    expect(status(approval)).toBe('pending');
    await page.keyboard.press('Escape');
    await pressFor(page, 'a', page.getByText('approved with edits').first());
    expect(status(approval)).toBe('edited');
    expect(server.model.approval(approval.id).payload).toEqual({ ...script, script: `${script.script}\nja` });
    await expect.poll(() => page.evaluate('document.activeElement !== document.body')).toBe(true);
  });

  it('rejects with a reason, of which no letter decides anything', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    await pressFor(page, 'r', page.getByLabel('Why? The model is told.'));
    await page.keyboard.type('a Friday: ask on Monday');
    await page.keyboard.press('Enter');
    await expect.poll(() => status(approval)).toBe('rejected');
    expect(server.model.approval(approval.id).reason).toBe('a Friday: ask on Monday');
  });

  it('aborts the run only after it was asked back', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    await pressFor(page, 'x', page.getByRole('button', { name: 'Abort the run' }));
    await page.keyboard.press('Escape');
    expect(status(approval)).toBe('pending');
    await page.keyboard.press('x');
    await page.keyboard.press('Enter');
    await expect.poll(() => status(approval)).toBe('aborted');
    expect(server.model.state.runs[run.id]?.status).toBe('aborted');
  });

  it('tells whoever was slower calmly, and leaves what is open under their eyes', async () => {
    const approval = server.model.ask(run, { payload: script });
    const [ann, bob] = [await opened(), await opened({ token: 'token-of-bob' })];
    const buttons = [ann, bob].map((page) => page.getByRole('button', { name: 'Approve' }));
    await Promise.all(buttons.map((button) => button.waitFor()));
    await Promise.all(buttons.map((button) => button.click()));
    await expect.poll(() => status(approval)).toBe('approved');
    const winner = server.model.approval(approval.id).decided_by;
    for (const page of [ann, bob]) await page.getByText(`approved by ${winner}`).first().waitFor();
    expect(server.model.events.filter(({ type }) => type === 'gate_decided')).toHaveLength(1);
    expect(await bob.getByRole('alert').count()).toBe(0);
  });

  it('decides nothing but the revision that is on display', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    await page.getByRole('region', { name: /^Approval/ }).waitFor();
    server.model.show(approval.id, {
      payload: { ...script, script: 'rm -rf build' },
      preview: approval.preview,
    });
    await page.getByText('This has changed while you looked at it.').waitFor();
    const card = page.getByRole('region', { name: /^Approval/ });
    expect(await card.getByRole('textbox', { name: /^script/ }).inputValue()).toBe(script.script);
    expect(await card.getByRole('button', { name: 'Approve' }).isDisabled()).toBe(true);
    await page.keyboard.press('a');
    await page.getByText('look again first').waitFor();
    await card.getByRole('button', { name: 'Look again' }).click();
    await expect.poll(() => card.getByRole('textbox', { name: /^script/ }).inputValue()).toBe('rm -rf build');
    await card.getByRole('button', { name: 'Approve' }).click();
    await expect.poll(() => status(approval)).toBe('approved');
    expect(decisions().map(({ body }) => body)).toEqual([{ decision: 'approve', revision: 2 }]);
  });

  it('asks to look again when it changed while the decision was on its way', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened();
    await page.route('**/resolve', async (route) => {
      server.model.show(approval.id, { payload: { ...script, script: 'ls' }, preview: approval.preview });
      await route.continue();
    });
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('This has changed while you looked at it.').waitFor();
    expect(status(approval)).toBe('pending');
  });

  it('does not let a key decide what has only just appeared', async () => {
    const page = await opened();
    await page.getByText('Nothing waits for you.').waitFor();
    await page.evaluate(`new MutationObserver((_, observer) => {
      if (!document.querySelector('.approval')) return;
      observer.disconnect();
      const press = () => {
        if (document.body.textContent.includes('only just appeared')) return;
        document.dispatchEvent(new KeyboardEvent('keydown', { key: 'a', bubbles: true }));
        requestAnimationFrame(press);
      };
      press();
    }).observe(document.body, { childList: true, subtree: true })`);
    const approval = server.model.ask(run, { payload: script });
    await page.getByText('only just appeared').waitFor();
    expect(status(approval)).toBe('pending');
  });

  it('answers a question by one of its choices', async () => {
    const approval = server.model.ask(run, {
      kind: 'ask',
      preview: { title: 'Which port?' },
      payload: { question: 'Which port?', choices: ['80', '8080'], answer: null },
    });
    const page = await opened();
    expect(await page.getByRole('button', { name: 'Answer' }).isDisabled()).toBe(true);
    await page.getByRole('radio', { name: '8080' }).check();
    await page.getByRole('button', { name: 'Answer' }).click();
    await expect.poll(() => server.model.approval(approval.id).payload.answer).toBe('8080');
  });

  it('edits one call of a step and leaves the others as they are', async () => {
    const calls = [
      { position: 0, tool: 'run_script', payload: { script: 'ls' } },
      { position: 1, tool: 'run_script', payload: { script: 'pwd' } },
    ];
    const approval = server.model.ask(run, {
      kind: 'step',
      preview: { title: '2 calls' },
      payload: { calls },
    });
    const page = await opened();
    await page
      .getByRole('textbox', { name: /^script/ })
      .nth(1)
      .fill('pwd -P');
    await page.getByRole('button', { name: 'Approve edited' }).click();
    await expect
      .poll(() => server.model.approval(approval.id).payload.calls)
      .toEqual([calls[0], { ...calls[1], payload: { script: 'pwd -P' } }]);
  });

  it('allows a tool in a folder for the rest of the run, and revokes that', async () => {
    server.model.ask(run, { payload: script });
    const page = await opened();
    await page.getByRole('checkbox', { name: /For the rest of this run/ }).check();
    expect(await page.getByLabel('Folder, with all below it').inputValue()).toBe('/home/ann/shop');
    await page.getByText('may reach beyond it').waitFor();
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByRole('tab', { name: 'Rules' }).click();
    await page.getByRole('cell', { name: '/home/ann/shop' }).waitFor();
    await page.getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('Every call asks').waitFor();
    expect(server.model.state.rules).toEqual({});
  });

  it('only shows what there is without the token, which may be pasted, and is not kept in the address', async () => {
    const approval = server.model.ask(run, { payload: script });
    const { page } = await openDashboard(browser(), server);
    complaints = [];
    const approve = page.getByRole('button', { name: 'Approve' });
    expect(await approve.isDisabled()).toBe(true);
    expect(await page.getByRole('textbox', { name: /^script/ }).isEditable()).toBe(false);
    await page.getByLabel(/paste the approver token/).fill('token-of-ann');
    await page.getByRole('button', { name: 'Use it' }).click();
    await approve.click();
    await expect.poll(() => status(approval)).toBe('approved');
    await page.goto(server.url('token-of-bob'));
    await expect.poll(() => page.url()).toBe(server.url());
  });

  it('says what to do when the token is not the right one', async () => {
    const approval = server.model.ask(run, { payload: script });
    const page = await opened({ token: 'of nobody' });
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByRole('alert').filter({ hasText: 'Enter the approver token' }).waitFor();
    expect(status(approval)).toBe('pending');
    await page.getByLabel(/does not take this token/).fill('token-of-bob');
    await page.getByRole('button', { name: 'Use it' }).click();
    await page.getByRole('button', { name: 'Approve' }).click();
    await expect.poll(() => status(approval)).toBe('approved');
  });

  it('begins a run', async () => {
    const page = await opened();
    await page.getByRole('button', { name: 'New run', exact: true }).click();
    await page.getByLabel('Task', { exact: true }).first().fill('Write a test');
    await page.getByLabel('Provider').selectOption('anthropic');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByRole('heading', { name: 'Write a test' }).waitFor();
    expect(server.model.requests.at(-1)).toEqual({
      path: '/v1/runs',
      body: { prompt: 'Write a test', provider: 'anthropic' },
    });
  });
});
