// stomp-serve on a GPU against transformers (one static batch) and mlx-lm, with the same checkpoint and token ids:
//
//   node bench/gpu/run.mjs <folder of a checkpoint> [--trials 3] [--cache-mb 8192] [--sides ours,transformers,mlx-lm]
//     [--cases 1x512+128,…]
//
// Prints tokens a second and ratios, medians of the trials; the first trial of a case warms up and is dropped. A side
// that cannot be run is named and left out. Never run so far: there was no GPU. docs/gpu.md says what to install.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { defaultCases, parseCases, promptsOf, ratesOf } from './workload.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const python = process.env.PYTHON || 'python3';

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** A side: a process that answers a line with a line. */
class Side {
  #child;
  #lines;
  #errors = '';

  constructor(command, args) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    // One that has ended is told of by its missing answer.
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', (error) => {
      this.#errors = error.message;
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-2000);
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that is JSON. */
  async next() {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(this.#errors.trim().split('\n').slice(-3).join(' ') || 'it ended early');
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }

  ask(task) {
    this.#child.stdin.write(`${JSON.stringify(task)}\n`);
    return this.next();
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin.end();
    await closed;
  }
}

async function measure(side, cases, trials) {
  const rates = [];
  for (const one of cases) {
    const samples = [];
    for (let trial = 0; trial <= trials; trial++) {
      const took = await side.ask({ ...promptsOf(one, trial), answer: one.answer });
      if (trial > 0) samples.push(ratesOf(one, took));
    }
    rates.push({
      prefill: median(samples.map((sample) => sample.prefill)),
      decode: median(samples.map((sample) => sample.decode)),
    });
  }
  return rates;
}

/** @returns {Promise<{ about: object, rates: object[] } | undefined>} undefined: it could not be run */
async function runSide(name, command, args, cases, trials) {
  const side = new Side(command, args);
  try {
    const about = await side.next();
    console.log(`${name}: ${Object.values(about).join(', ')}`);
    return { about, rates: await measure(side, cases, trials) };
  } catch (error) {
    console.log(`${name}: left out, ${error.message}`);
    return undefined;
  } finally {
    await side.end();
  }
}

function table(cases, measured) {
  const ours = measured.get('ours');
  const rows = cases.flatMap(({ sequences, prompt, answer }, index) =>
    ['prefill', 'decode'].map((what) => {
      const rate = (side) => side?.rates[index][what];
      const cells = [...measured].map(([name, side]) => {
        const text = side ? rate(side).toFixed(0) : '-';
        return name === 'ours' || !side || !ours
          ? text
          : `${text} (${(rate(ours) / rate(side)).toFixed(2)}x)`;
      });
      return `| ${sequences} x (${prompt} + ${answer}) | ${what} | ${cells.join(' | ')} |`;
    }),
  );
  const names = [...measured.keys()].join(' | ');
  const line = `| --- | --- |${' ---: |'.repeat(measured.size)}`;
  return [`| sequences x (prompt + answer) | tokens/s | ${names} |`, line, ...rows].join('\n');
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      trials: { type: 'string', default: '3' },
      'cache-mb': { type: 'string', default: '8192' },
      cases: { type: 'string', default: defaultCases },
      sides: { type: 'string', default: 'ours,transformers,mlx-lm' },
    },
  });
  const [model] = positionals;
  if (model === undefined) throw new Error('usage: node bench/gpu/run.mjs <folder of a checkpoint>');
  const commands = {
    ours: [process.execPath, [join(here, 'ours.mjs'), model, values['cache-mb']]],
    transformers: [python, [join(here, 'transformers_side.py'), model]],
    'mlx-lm': [python, [join(here, 'mlx_lm_side.py'), model]],
  };
  const cases = parseCases(values.cases);
  const measured = new Map();
  for (const name of values.sides.split(',')) {
    if (!commands[name]) throw new Error(`there is no side "${name}": ${Object.keys(commands).join(', ')}`);
    measured.set(name, await runSide(name, ...commands[name], cases, Number(values.trials)));
  }
  console.log(`\n${table(cases, measured)}\n\nIn brackets: ours divided by theirs.`);
  if (measured.get('ours') === undefined) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
