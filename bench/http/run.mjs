// What HTTP costs: `npm run bench:http`. The same streams from a server process and from the library in process, in
// turns, so that a noisy minute hits both; then many streams for a while, for the event loop and the memory.
//   --model NAME   --streams 32   --seconds 120   --trials 3   --trial-seconds 10
// and the same while once more with one thread of the engine fewer, which leaves a core to the event loop.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine } from '../machine.mjs';
import { median } from '../statistics.mjs';
import { metric, startServer } from './server.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'smollm2-135m' },
    streams: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '120' },
    trials: { type: 'string', default: '3' },
    'trial-seconds': { type: 'string', default: '10' },
  },
});
const streams = Number(values.streams);
const trialMs = Number(values['trial-seconds']) * 1000;

async function startLibrary(model) {
  const script = fileURLToPath(new URL('library.mjs', import.meta.url));
  const child = fork(script, [model], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  const run = async (count, ms) => {
    child.send({ streams: count, ms });
    return (await once(child, 'message'))[0];
  };
  return { pid: child.pid, run, close: () => child.disconnect() };
}

/**
 * What a process's JavaScript has cost so far, its main thread, which neighbours on the machine hardly change.
 * NaN where Linux does not tell.
 */
function scriptMicroseconds(pid) {
  if (process.platform !== 'linux') return Number.NaN;
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // user and system, in ticks of 1/100 s
}

async function trial(side, count) {
  const before = scriptMicroseconds(side.pid);
  const { tokens, all } = await side.run(count, trialMs);
  return { rate: (tokens * 1000) / trialMs, cost: (scriptMicroseconds(side.pid) - before) / all };
}

async function compare(server, library, count) {
  const sides = [server, library].map((side) => ({ ...side, trials: [] }));
  for (const side of sides) await side.run(count, 1000); // warm
  for (let i = 0; i < Number(values.trials); i++)
    for (const side of sides) side.trials.push(await trial(side, count));
  const [http, direct] = sides.map(({ trials }) => median(trials.map(({ rate }) => rate)));
  const costs = sides.map(({ trials }) => median(trials.map(({ cost }) => cost)).toFixed(0));
  console.log(
    `${count} streams: ${http.toFixed(0)} tokens/s over HTTP, ${direct.toFixed(0)} in process, ratio ` +
      `${(http / direct).toFixed(2)}; JavaScript's thread ${costs[0]} us a token over HTTP, ${costs[1]} in process`,
  );
}

/** A reading begins the figures of the event loop anew. */
async function endure(server, how = '') {
  const late = 'stomp_event_loop_delay_seconds{quantile="0.99"}';
  const resident = () => metric(server.url, 'stomp_memory_used_bytes{kind="process"}');
  await metric(server.url, late);
  const before = await resident();
  const ms = Number(values.seconds) * 1000;
  const { tokens, answers } = await server.run(streams, ms);
  const p99 = await metric(server.url, late);
  const after = await resident();
  const mb = (bytes) => (bytes / 2 ** 20).toFixed(0);
  console.log(
    `${streams} streams for ${values.seconds} s${how}: ${answers} answers, ${((tokens * 1000) / ms).toFixed(0)} tokens/s, ` +
      `event loop p99 ${(p99 * 1000).toFixed(2)} ms, memory ${mb(before)} MB before and ${mb(after)} MB after`,
  );
}

const { cpu, cores, node } = machine();
console.log(`${cpu}, ${cores} cores, node ${node}, load ${loadavg()[0].toFixed(1)} before`);
const server = await startServer(values.model);
try {
  const library = await startLibrary(values.model);
  for (const count of [1, streams]) await compare(server, library, count);
  library.close();
  await endure(server);
} finally {
  await server.close();
}
if (cores > 1) {
  const roomy = await startServer(values.model, ['--threads', String(cores - 1)]);
  try {
    await roomy.run(streams, 1000); // warm
    await endure(roomy, `, threads ${cores - 1}`);
  } finally {
    await roomy.close();
  }
}
console.log(`load ${loadavg()[0].toFixed(1)} after`);
