// The experiments: `npm run experiments`. Each runs in a process of its own; prints what was found and renews
// docs/experiments.md, which says what they are.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endChildren } from '../child.mjs';
import { machine } from '../machine.mjs';
import { ids, load } from './list.mjs';
import { help, parseOptions } from './options.mjs';
import { inProcess } from './processes.mjs';
import { publish } from './publish.mjs';
import { summary, verdicts } from './report.mjs';

let ended = false;
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

function where() {
  const { cpu, cores, memoryGiB, flags, system, node } = machine();
  const date = new Date().toISOString().slice(0, 10);
  return { machine: `${cpu}, ${cores} cores (${flags}), ${memoryGiB} GiB; Node ${node}, ${system}`, date };
}

/** One that fails to run is told of and does not end the others. */
async function attempt(id, { model, threads }) {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-experiment-'));
  try {
    return await inProcess({ id, model, threads, folder });
  } catch (error) {
    if (ended) throw error;
    process.stderr.write(`EXP-${id} failed: ${error.message}\n`);
    return { figures: [], verdict: 'failed', why: error.message };
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function runAll(options) {
  const on = where();
  const entries = [];
  for (const [i, id] of options.ids.entries()) {
    const { about } = await load(id);
    process.stderr.write(`[${i + 1}/${options.ids.length}] EXP-${id}: ${about.question}\n`);
    const start = performance.now();
    const finding = await attempt(id, options);
    const seconds = ((performance.now() - start) / 1e3).toFixed(0);
    process.stderr.write(`    ${finding.verdict}, ${seconds} s\n`);
    entries.push({ id, about, finding, on });
  }
  return entries;
}

async function list() {
  for (const id of ids) {
    const { question, method, target } = (await load(id)).about;
    console.log(`EXP-${id}  ${question}\n    how: ${method}\n    target: ${target}`);
  }
}

function isFailure(entries, strict) {
  const bad = strict ? ['failed', 'missed'] : ['failed'];
  return entries.some(({ finding }) => bad.includes(finding.verdict));
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return console.log(help);
  if (options.list) return list();
  const entries = await runAll(options);
  console.log(`${summary(entries)}\n\n${verdicts(entries)}`);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(entries, undefined, 2)}\n`);
  if (options.docs) process.stderr.write(`renewed ${await publish(entries)}\n`);
  if (isFailure(entries, options.strict)) process.exitCode = 1;
}

main().catch((error) => {
  if (ended) {
    process.stderr.write('ended; nothing was written\n');
    return;
  }
  process.stderr.write(`npm run experiments: ${error.message}\n`);
  process.exitCode = 1;
});
