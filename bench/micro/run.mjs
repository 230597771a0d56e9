// The micro-benchmarks: `npm run bench:micro`. Prints one table; targets are the engine's own.
import { defaultModel } from '../../dist/index.js';
import { machine } from '../machine.mjs';
import { digits } from '../report.mjs';
import { javascriptFigures } from './javascript.mjs';
import { nativeFigures } from './native.mjs';

/** Most nanoseconds that a part may take. */
const targets = {
  'block pool: allocate and free, per block': 1000,
  'block pool: reclaim a cached block': 1000,
};

function line({ name, value, unit }) {
  const target = targets[name];
  const verdict = target === undefined ? '' : `< ${target} ${unit}: ${value < target ? 'ok' : 'short'}`;
  return `| ${name} | ${digits(value)} | ${unit} | ${verdict} |`;
}

try {
  process.stderr.write('building and running the native part\n');
  const figures = await nativeFigures();
  process.stderr.write('running the JavaScript part\n');
  figures.push(...(await javascriptFigures(defaultModel)));
  const { cpu, cores, node } = machine();
  console.log(`${cpu}, ${cores} cores, Node ${node}\n`);
  console.log(['| what | measured | unit | target |', '|---|---:|---|---|', ...figures.map(line)].join('\n'));
} catch (error) {
  process.stderr.write(`npm run bench:micro: ${error.message}\n`);
  process.exitCode = 1;
}
