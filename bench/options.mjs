// The command line of the benchmark.
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { groups } from './cases.mjs';

const list = groups.map(({ name, figures }) => `                   ${name.padEnd(8)} ${figures}`).join('\n');

export const help = `npm run bench -- [options]
  --cases A,B      only these groups of cases:
${list}
  --trials N       trials of each side (5); long groups run at most 3
  --threads N      threads of each side (all cores)
  --model PATH     a .gguf file of the Llama family (the default model)
  --only ours      leave the rivals out
  --variant NAME:option=value,…
                   also measure stomp-serve with these engine options, e.g. exact:numerics=exact; repeatable
  --llama-server   also build llama.cpp's own server (long, once) and measure it over HTTP
  --uv-threads N   UV_THREADPOOL_SIZE of node-llama-cpp (1, its best; Node's default is 4)
  --csv PATH       where to write the figures (bench/results/<date>-<cpu>-<cores>-cores.csv)
  --no-docs        leave docs/performance.md and its plots alone, as --cases does by itself
  --from CSV       measure nothing; print and plot an earlier run
  --strict         exit with status 1 when a target is missed
  --help           this text`;

const definitions = {
  cases: { type: 'string' },
  trials: { type: 'string', default: '5' },
  threads: { type: 'string', default: String(availableParallelism()) },
  model: { type: 'string' },
  only: { type: 'string' },
  variant: { type: 'string', multiple: true, default: [] },
  'llama-server': { type: 'boolean', default: false },
  'uv-threads': { type: 'string', default: '1' },
  csv: { type: 'string' },
  'no-docs': { type: 'boolean', default: false },
  from: { type: 'string' },
  strict: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

function positive(name, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} ${text}: expected a whole number from 1`);
  return value;
}

/** npm runs this in bench/; paths are meant from where the user is. */
const path = (text) => (text === undefined ? undefined : resolve(process.env.INIT_CWD ?? '.', text));

/** @param {string[]} args @throws Error that says which option is wrong, and how */
export function parseOptions(args) {
  const { values } = parseArgs({ args, options: definitions });
  if (values.only !== undefined && values.only !== 'ours')
    throw new Error(`--only ${values.only}: only "ours" can be said`);
  return {
    cases: values.cases,
    trials: positive('trials', values.trials),
    threads: positive('threads', values.threads),
    model: path(values.model),
    only: values.only,
    variants: values.variant,
    llamaServer: values['llama-server'],
    uvThreads: positive('uv-threads', values['uv-threads']),
    csv: path(values.csv),
    // A part of the cases must not replace the whole.
    docs: !values['no-docs'] && (values.cases === undefined || values.from !== undefined),
    from: path(values.from),
    strict: values.strict,
    help: values.help,
  };
}
