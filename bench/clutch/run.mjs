/**
 * What runs cost the event loop: `npm run bench:clutch`. One run waits at a gate while eight others stream at 100 words
 * a second each, with a dashboard following; every event is on disk. Prints the delay of the loop; with `--strict` the
 * exit status is 1 when it is not what it should be.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { openClutch } from '../../dist/clutch/index.js';
import { FileGuard, Maasl } from '../../dist/guard/index.js';

const streams = 8;
const rounds = 5;
const mostMs = 50;

const folder = mkdtempSync(join(tmpdir(), 'stomp-bench-clutch-'));
mkdirSync(join(folder, 'root'));
const model = spawn(process.execPath, [join(import.meta.dirname, 'model.mjs')], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const [port] = await once(model.stdout, 'data');
const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
const baseUrl = `http://127.0.0.1:${String(port).trim()}/v1`;
const clutch = await openClutch({
  storage: join(folder, 'clutch.db'),
  auditFolder: join(folder, 'audit'),
  files: await FileGuard.open(maasl, { roots: [join(folder, 'root')] }),
  providers: { steady: { kind: 'openai', baseUrl, defaultModel: 'steady', maxConcurrent: 16 } },
  defaultProvider: 'steady',
});

const follower = new AbortController();
let followed = 0;
const following = (async () => {
  for await (const _ of clutch.bus.follow(0, follower.signal)) followed++;
})().catch(() => undefined);

const held = await clutch.start({ prompt: 'Wait.' });
while ((await clutch.gates.list({ status: 'pending' })).length === 0)
  await new Promise((r) => setTimeout(r, 20));
const p99 = [];
let most = 0;
for (let round = 0; round < rounds; round++) {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const runs = await Promise.all(Array.from({ length: streams }, () => clutch.start({ prompt: 'Talk.' })));
  for (const { id } of runs) {
    const { status } = await clutch.ended(id);
    if (status !== 'done') throw new Error(`a run ended as ${status}`);
  }
  delays.disable();
  p99.push(delays.percentile(99) / 1e6);
  most = Math.max(most, delays.max / 1e6);
}
if ((await clutch.run(held.id)).status !== 'awaiting_approval') throw new Error('the gate did not hold');
p99.sort((a, b) => a - b);
const median = p99[Math.floor(rounds / 2)];
console.log(`${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}`);
console.log(`${streams} runs stream while one waits, ${rounds} times; ${followed} events followed`);
console.log(
  `event loop delay: p99 ${median.toFixed(1)} ms (median of ${rounds}), at most ${most.toFixed(1)} ms; ` +
    `p99 under ${mostMs} ms: ${median < mostMs ? 'met' : 'missed'}`,
);
if (median >= mostMs && process.argv.includes('--strict')) process.exitCode = 1;
follower.abort();
await following;
await clutch.close();
await maasl.close();
model.kill();
rmSync(folder, { recursive: true });
