/** The browser that the tests use: one that is installed. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';

const places = [
  process.env['CHROMIUM_PATH'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

const executablePath = places.find((path) => path !== undefined && existsSync(path));

/** Where nothing may be left out, a missing browser fails. */
export const hasBrowser = executablePath !== undefined || process.env['CI'] === 'true';

function openBrowser(): Promise<Browser> {
  if (executablePath === undefined)
    throw new Error('There is no Chromium: install one, or name it in CHROMIUM_PATH.');
  // Only pages of these tests are opened; in containers the sandbox has no rights to work.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
}

/** One browser for all tests of a file. @returns it, once the tests run */
export function useBrowser(): () => Browser {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser?.close());
  return () => {
    if (!browser) throw new Error('The browser is there while tests run.');
    return browser;
  };
}
