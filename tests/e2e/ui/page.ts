/** A page with the dashboard, and what a person does on it. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { DashboardServer } from './dashboard-server.js';

export interface Dashboard {
  readonly page: Page;
  /** What the page has complained of: broken policies, exceptions. */
  readonly complaints: string[];
}

export async function openDashboard(
  browser: Browser,
  server: Pick<DashboardServer, 'url'>,
  { token, ...options }: BrowserContextOptions & { token?: string | undefined } = {},
): Promise<Dashboard> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // A refused request is said by the browser too, whatever the page makes of it.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  await page.goto(server.url(token));
  await page.getByText('live', { exact: true }).waitFor();
  return { page, complaints };
}
