/** The part of docs/configuration.md that is made from the schema of settings. */
import { settingsReference } from '../../dist/config/reference.js';

const begin =
  '<!-- Made from ts/config/schema.ts by `npm run docs:check -- --write`; not to be changed by hand. -->';
const end = '<!-- End of what is made. -->';

/**
 * @param {string} page as it is
 * @returns {string} as it should be
 */
export function configurationPage(page) {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from)
    throw new Error('docs/configuration.md has lost the marks between which it is made');
  return `${page.slice(0, from + begin.length)}\n\n${settingsReference()}\n${page.slice(to)}`;
}
