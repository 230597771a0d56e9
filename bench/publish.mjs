// Writes a run into docs/performance.md and its plots beside it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { plotsOf } from './charts.mjs';
import { replaceBlocks } from './generated.mjs';
import { ceilingTable, checkTable, machineLine, table } from './report.mjs';

const docs = fileURLToPath(new URL('../docs', import.meta.url));

/**
 * @param {import('./figures.mjs').Results} results
 * @param {import('./checks.mjs').Check[]} checks
 * @returns {string} the document's path
 */
export function publish(results, checks) {
  const folder = join(docs, 'performance');
  mkdirSync(folder, { recursive: true });
  const plots = plotsOf(results);
  for (const { name, svg } of plots) writeFileSync(join(folder, `${name}.svg`), svg);
  const path = join(docs, 'performance.md');
  const text = replaceBlocks(readFileSync(path, 'utf8'), {
    machine: machineLine(results),
    plots: plots.map(({ name, title }) => `![${title}](performance/${name}.svg)`).join('\n\n'),
    figures: table(results),
    targets: checkTable(checks),
    ceilings: ceilingTable(results),
  });
  writeFileSync(path, text);
  return path;
}
