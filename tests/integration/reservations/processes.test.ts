import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Reservations } from '../../../ts/reservations/reservations.js';
import { type Compiled, compiled } from '../compiled.js';

let sources: Compiled;
let root: string;
beforeAll(() => {
  sources = compiled();
});
afterAll(() => sources.remove());
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stomp-processes-'));
  execFileSync('git', ['init', '--quiet', root]);
});
afterEach(() => rmSync(root, { recursive: true }));

/** @param body runs with `reservations`, `root` and `id` */
function start(id: string, body: string): ChildProcess {
  const script = `
    import { Reservations } from ${JSON.stringify(sources.url('reservations/reservations.js'))};
    const [root, id] = process.argv.slice(1);
    const reservations = await Reservations.open({ folder: root });
    ${body}`;
  const args = ['--input-type=module', '-e', script, root, id];
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function output(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk) => (text += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  return text.trim();
}

it('of 200 processes that want one symbol only if it is free, one gets it', async () => {
  const children = Array.from({ length: 200 }, (_, i) =>
    start(
      `agent-${i}`,
      `console.log('ready');
       await new Promise((resolve) => process.stdin.once('data', resolve));
       const request = { runId: id, branch: 'main', addresses: ['a.py::f'], ifFree: true };
       console.log(await reservations.reserve(request).then(() => 'won', (error) => error.code));
       process.exit();`,
    ),
  );
  const ended = children.map(output);
  await Promise.all(children.map((child) => new Promise((resolve) => child.stdout?.once('data', resolve))));
  for (const child of children) child.stdin?.write('go');
  const results = (await Promise.all(ended)).map((text) => text.split('\n').at(-1));
  expect(results.filter((it) => it === 'won')).toHaveLength(1);
  expect(results.filter((it) => it === 'RESERVATION_CONFLICT')).toHaveLength(199);
  const { reservations, warnings } = await (await Reservations.open({ folder: root })).list();
  expect(reservations).toHaveLength(1);
  expect(warnings).toEqual([]);
});

it('a process killed while it writes leaves whole records only, and keeps nobody out', async () => {
  const rounds = 12;
  const reservations = await Reservations.open({ folder: root });
  for (let round = 0; round < rounds; round++) {
    const child = start(
      `agent-${round}`,
      `const addresses = Array.from({ length: 300 }, (_, i) => 'src/module-' + i + '.py::f' + 'x'.repeat(500));
       while (true) {
         await reservations.reserve({ runId: id, branch: 'main', addresses });
         console.log('one is written');
       }`,
    );
    const ended = output(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await sleep(2 + 5 * round);
    child.kill('SIGKILL');
    await ended;
    const { reservations: found, warnings } = await reservations.list();
    expect(warnings).toEqual([]);
    for (const one of found) expect(one.addresses).toHaveLength(300);
  }
  const names = readdirSync(join(root, '.muse', 'coordination', 'reservations'));
  expect(names.filter((name) => name.endsWith('.json')).length).toBeGreaterThanOrEqual(rounds);
  await reservations.reserve({ runId: 'next', branch: 'main', addresses: ['b.py'], ifFree: true });
});

it.skipIf(process.platform === 'win32')('a pipe among the records holds up nobody', async () => {
  const folder = join(root, '.muse', 'coordination', 'reservations');
  mkdirSync(folder, { recursive: true });
  execFileSync('mkfifo', [join(folder, 'pipe.json')]);
  const { warnings } = await (await Reservations.open({ folder: root })).list();
  expect(warnings).toEqual([{ subject: '.muse/coordination/reservations/pipe.json', reason: 'is no file' }]);
});
