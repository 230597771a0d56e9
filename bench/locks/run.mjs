// The lock manager against the locks that one would take otherwise: `npm run bench:locks`. Medians of several trials in
// which the sides take turns; the exit status says whether it ran, with --strict also whether every target was met.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPostgres } from '../../scripts/postgres-server.mjs';
import { machine } from '../machine.mjs';
import { median } from '../statistics.mjs';
import { memoryTrial } from './memory.mjs';
import { postgresTrial } from './postgres.mjs';
import { sqliteTrial } from './sqlite.mjs';

const rivals = { memory: 'async-mutex', SQLite: 'proper-lockfile', PostgreSQL: 'advisory locks' };

/** Each says whether it is met, from the medians in microseconds. */
const targets = {
  'memory: acquire and release': ['within 2x of async-mutex', ({ ours, rival }) => ours <= 2 * rival],
  'memory: hand-over': ['under 1 ms', ({ ours }) => ours < 1000],
  'SQLite: acquire, p99': ['under 5 ms', ({ ours }) => ours < 5000],
  'PostgreSQL: hand-over, p50': ['under 10 ms', ({ ours }) => ours < 10_000],
};

const strict = process.argv.includes('--strict');
const trials = Number(process.argv[process.argv.indexOf('--trials') + 1]) || 5;

async function measure() {
  const samples = new Map();
  const server = await startPostgres();
  try {
    for (let trial = 1; trial <= trials; trial++) {
      process.stderr.write(`trial ${trial} of ${trials}\n`);
      for (const figures of [await memoryTrial(), await sqliteTrial(), await postgresTrial(server.url)]) {
        for (const [name, figure] of Object.entries(figures))
          samples.set(name, [...(samples.get(name) ?? []), figure]);
      }
    }
  } finally {
    await server.close();
  }
  return samples;
}

function row([name, figures]) {
  const ours = median(figures.map((figure) => figure.ours));
  const rival = median(figures.map((figure) => figure.rival));
  const [text, met] = targets[name] ?? [];
  const verdict = text === undefined ? '' : `${text}: ${met({ ours, rival }) ? 'ok' : 'short'}`;
  return { name, ours, rival, against: rivals[name.split(':')[0]], ratio: rival / ours, verdict };
}

const digits = (us) => (us < 10 ? us.toFixed(2) : us < 1000 ? us.toFixed(0) : `${(us / 1000).toFixed(2)}k`);

try {
  const rows = [...(await measure())].map(row);
  const { cpu, cores, node } = machine();
  console.log(`${cpu}, ${cores} cores, Node ${node}; µs, medians of ${trials}\n`);
  console.log('| what | stomp-serve | rival | | ratio | target |\n|---|---:|---:|---|---:|---|');
  for (const { name, ours, rival, against, ratio, verdict } of rows) {
    console.log(
      `| ${name} | ${digits(ours)} | ${digits(rival)} | ${against} | ${ratio.toFixed(2)}x | ${verdict} |`,
    );
  }
  const results = join(dirname(fileURLToPath(import.meta.url)), '..', 'results');
  mkdirSync(results, { recursive: true });
  const lines = rows.map(
    ({ name, ours, rival, against }) => `"${name}",${ours.toFixed(3)},${rival.toFixed(3)},${against}`,
  );
  const date = new Date().toISOString().slice(0, 10);
  const file = join(results, `${date}-locks-${cores}-cores.csv`);
  writeFileSync(
    file,
    `# ${cpu}, ${cores} cores, Node ${node}\nwhat,stomp_serve_us,rival_us,rival\n${lines.join('\n')}\n`,
  );
  if (strict && rows.some(({ verdict }) => verdict.endsWith('short'))) process.exitCode = 1;
} catch (error) {
  process.stderr.write(`npm run bench:locks: ${error.stack}\n`);
  process.exitCode = 1;
}
