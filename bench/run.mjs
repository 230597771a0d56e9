// The benchmark: `npm run bench`. Measures, writes a CSV, prints the table and the targets, and renews
// docs/performance.md. README.md says what is measured and how.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCampaign } from './campaign.mjs';
import { chooseGroups } from './cases.mjs';
import { checksOf } from './checks.mjs';
import { endChildren, results } from './child.mjs';
import { contenders } from './contenders.mjs';
import { formatCsv, parseCsv } from './csv.mjs';
import { Results } from './figures.mjs';
import { machine, shortCpuName } from './machine.mjs';
import { help, parseOptions } from './options.mjs';
import { publish } from './publish.mjs';
import { ceilingTable, checkTable, machineLine, table } from './report.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
let ended = false;

/** A folder that is gone when this process is. */
function scratchFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => {
      ended = true;
      process.exitCode = status;
      endChildren();
    });
  }
  return folder;
}

async function measure(options) {
  const groups = chooseGroups(options.cases);
  const about = machine();
  const variants = contenders(options, about);
  const scratch = scratchFolder();
  const asked = options.model === undefined ? [] : [options.model];
  const [model] = await results(process.execPath, [join(here, 'model-facts.mjs'), ...asked], { cwd: here });
  const { threads, trials, uvThreads } = options;
  const { weightsBytes } = model.facts;
  const settings = { model: model.path, weightsBytes, threads, scratch, ended: () => ended };
  const { samples, failures } = await runCampaign(groups, variants, trials, settings);
  return {
    run: {
      about: {
        ...about,
        date: new Date().toISOString().slice(0, 10),
        threads,
        trials,
        uvThreads,
        model: model.name,
        ...model.facts,
      },
      samples,
    },
    failures,
  };
}

function write(run, path) {
  const { date, cpu, cores } = run.about;
  const target = path ?? join(here, 'results', `${date}-${shortCpuName(cpu)}-${cores}-cores.csv`);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, formatCsv(run));
  process.stderr.write(`written to ${target}\n`);
}

function read(path) {
  try {
    return parseCsv(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`--from ${path}: ${error.message}`);
  }
}

function show(run, failures, docs) {
  const found = new Results(run);
  const checks = checksOf(found);
  const parts = [machineLine(found), table(found), ceilingTable(found), checkTable(checks), ...failures];
  console.log(parts.join('\n\n'));
  if (docs) process.stderr.write(`renewed ${publish(found, checks)}\n`);
  return checks;
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(help);
    return;
  }
  let run;
  let failures = [];
  if (options.from) {
    run = read(options.from);
  } else {
    ({ run, failures } = await measure(options));
    write(run, options.csv);
  }
  const checks = show(run, failures, options.docs);
  if (options.strict && checks.some(({ ok }) => ok === false)) process.exitCode = 1;
}

main().catch((error) => {
  if (ended) {
    process.stderr.write('ended; nothing was written\n');
    return;
  }
  process.stderr.write(`npm run bench: ${error.message}\n`);
  process.exitCode = 1;
});
