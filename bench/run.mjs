// The benchmark: stomp-serve against node-llama-cpp, same GGUF, same threads, one run. Each trial is a process of its
// own, the sides take turns, medians are compared. Prints a table and writes results/<date>-<host>.csv.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine } from './machine.mjs';

const help = `npm run bench -- [options]
  --trials N     trials of each side (3)
  --threads N    threads of each side (all cores)
  --model PATH   a .gguf file (the default model)
  --only ours    leave the rival out
  --csv PATH     where to write the results`;

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    model: { type: 'string' },
    only: { type: 'string' },
    csv: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const here = fileURLToPath(new URL('.', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function child(script, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(here, script), ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${script} failed:\n${stderr}`);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

/** The default model's file, brought first if need be. */
function modelPath() {
  if (values.model) return values.model;
  const [line] = child('model-path.mjs', []);
  return line.value;
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const better = (unit, a, b) => (unit === 'ms' ? a < b : a > b);

const model = modelPath();
const sides = [{ name: 'stomp-serve', script: 'ours.mjs', args: [] }];
if (values.only !== 'ours') {
  // Which attention suits the rival depends on the case; each figure takes the better of the two.
  sides.push({ name: 'node-llama-cpp', script: 'rival.mjs', args: ['true'] });
  sides.push({ name: 'node-llama-cpp', script: 'rival.mjs', args: ['false'] });
}

const samples = []; // { side, variant, trial, name, value, unit }
for (let trial = 1; trial <= Number(values.trials); trial++) {
  for (const [index, side] of sides.entries()) {
    process.stderr.write(`trial ${trial} of ${values.trials}: ${side.name} ${side.args.join(' ')}\n`);
    const folder = mkdtempSync(join(scratch, 'trial-'));
    for (const line of child(side.script, [model, values.threads, folder, ...side.args])) {
      samples.push({ side: side.name, variant: index, trial, ...line });
    }
  }
}

function figure(side, name) {
  let best;
  for (const variant of new Set(samples.filter((s) => s.side === side).map((s) => s.variant))) {
    const own = samples.filter((s) => s.side === side && s.variant === variant && s.name === name);
    if (own.length === 0) continue;
    const value = median(own.map((s) => s.value));
    const unit = own[0].unit;
    const spread = (Math.max(...own.map((s) => s.value)) - Math.min(...own.map((s) => s.value))) / value;
    if (!best || better(unit, value, best.value)) best = { value, unit, spread };
  }
  return best;
}

const names = [...new Set(samples.map((s) => s.name))].sort((a, b) =>
  a.localeCompare(b, 'en', { numeric: true }),
);
const about = machine();
console.log(
  `\n${about.cpu}, ${about.cores} cores (${about.flags}), ${values.threads} threads, ${about.node}`,
);
console.log('Medians; ratio over 1 means stomp-serve is ahead.\n');
console.log('| case | unit | stomp-serve | node-llama-cpp | ratio |');
console.log('|---|---|---:|---:|---:|');
const rows = [['case', 'unit', 'side', 'trial', 'value']];
for (const name of names) {
  const ours = figure('stomp-serve', name);
  const rival = figure('node-llama-cpp', name);
  const ratio = rival
    ? ours.unit === 'ms'
      ? rival.value / ours.value
      : ours.value / rival.value
    : undefined;
  console.log(
    `| ${name} | ${ours.unit} | ${ours.value.toFixed(1)} (±${(50 * ours.spread).toFixed(0)} %) | ` +
      `${rival ? `${rival.value.toFixed(1)} (±${(50 * rival.spread).toFixed(0)} %)` : '-'} | ${ratio ? ratio.toFixed(2) : '-'} |`,
  );
}
const sum8 = figure('stomp-serve', 'sum over 8');
const sum1 = figure('stomp-serve', 'sum over 1');
const cold = figure('stomp-serve', 'first token cold 2K');
console.log(`\nsum over 8 / sum over 1: ${(sum8.value / sum1.value).toFixed(2)}`);
for (const kind of ['shared prefix', 'returning', 'restored']) {
  const warm = figure('stomp-serve', `first token ${kind} 2K`);
  console.log(`first token, cold / ${kind}: ${(cold.value / warm.value).toFixed(1)}`);
}

for (const s of samples) {
  const variant = s.side === 'stomp-serve' ? s.side : `${s.side} flashAttention=${sides[s.variant].args[0]}`;
  rows.push([s.name, s.unit, variant, s.trial, s.value.toFixed(3)]);
}
const header = Object.entries({ ...about, threads: values.threads }).map(
  ([key, value]) => `# ${key}: ${value}`,
);
const csv = `${header.join('\n')}\n${rows.map((row) => row.join(',')).join('\n')}\n`;
const path =
  values.csv ?? join(here, 'results', `${new Date().toISOString().slice(0, 10)}-${hostname()}.csv`);
mkdirSync(join(here, 'results'), { recursive: true });
writeFileSync(path, csv);
console.log(`\nwritten to ${path}`);
