import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busyDay } from './busy-day.js';
import { hasBrowser, useBrowser } from './chromium.js';
import { built, DashboardServer } from './dashboard-server.js';
import { openDashboard } from './page.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

describe('the files of the dashboard', () => {
  it('are less than 200 kB in all, and load nothing from elsewhere', () => {
    const names = readdirSync(built, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.includes('.'),
    );
    const sizes = names.map((name) => statSync(join(built, name)).size);
    expect(names.length).toBeGreaterThan(2);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(200_000);
    const page = readFileSync(join(built, 'index.html'), 'utf8');
    expect([...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address = '']) => address)).toSatisfy(
      (addresses: string[]) => addresses.every((address) => /^(\/ui\/|data:image)/.test(address)),
    );
  });
});

describe.skipIf(!hasBrowser)('the look of the dashboard', () => {
  const browser = useBrowser();
  let server: DashboardServer;

  beforeAll(async () => {
    server = new DashboardServer();
    await server.open();
    busyDay(server.model);
  });
  afterAll(async () => {
    await server?.close();
  });

  async function violations(page: Page): Promise<string[]> {
    await page.evaluate(axe);
    return page.evaluate(`axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
      .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`);
  }

  async function eachApproval(page: Page, look: () => Promise<void>): Promise<void> {
    const rows = page.locator('.row');
    for (let at = 0; at < (await rows.count()); at++) {
      await rows.nth(at).click();
      await look();
    }
  }

  it.each(['dark', 'light'] as const)('has no barriers that can be found, in %s', async (colorScheme) => {
    const { page, complaints } = await openDashboard(browser(), server, {
      token: 'token-of-ann',
      colorScheme,
      reducedMotion: 'reduce',
    });
    await page
      .getByRole('navigation')
      .getByRole('button', { name: /Move the shop/ })
      .click();
    await eachApproval(page, async () => {
      const field = page.locator('textarea[data-editable]').first();
      if ((await field.count()) > 0) await field.fill('something else');
      expect(await violations(page)).toEqual([]);
    });
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      await page.getByText('Reading…').first().waitFor({ state: 'hidden' });
      expect(await violations(page)).toEqual([]);
    }
    await page.getByRole('button', { name: 'New run', exact: true }).click();
    for (const part of ['Background and limits', 'Tickets'])
      await page.getByText(part, { exact: true }).last().click();
    await page.getByRole('button', { name: 'Add a ticket' }).click();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    expect(await violations(page)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it('fits 360 pixels without scrolling sideways', async () => {
    const { page } = await openDashboard(browser(), server, {
      token: 'token-of-ann',
      viewport: { width: 360, height: 740 },
    });
    const width = () => page.evaluate('document.documentElement.scrollWidth');
    await page
      .getByRole('navigation')
      .getByRole('button', { name: /Move the shop/ })
      .click();
    await eachApproval(page, async () => expect(await width()).toBe(360));
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      await page.getByText('Reading…').first().waitFor({ state: 'hidden' });
      expect(await width()).toBe(360);
    }
    await page.getByRole('button', { name: 'New run', exact: true }).click();
    expect(await width()).toBe(360);
    await page.context().close();
  });

  it('is dark or light as the person wants it, and remembers that', async () => {
    const { page } = await openDashboard(browser(), server, { colorScheme: 'light' });
    const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await ground();
    await page.getByRole('button', { name: 'Theme: system' }).click();
    await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.reload();
    await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
    expect(await ground()).toBe(dark);
    await page.context().close();
  });
});
