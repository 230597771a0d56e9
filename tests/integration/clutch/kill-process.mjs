/**
 * Works on one run until it is over, as a server would, and plays the person at its gates; ends itself without warning
 * at a given point. `node kill-process.mjs OPTIONS`, as JSON: `sources` (URL of the compiled sources), `folder`, `model`
 * (URL), and `kill`: `{ at: N, side: 'before' | 'after' }`, the N-th write to storage, or none. Prints the number of
 * writes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const { sources, folder, model, kill } = JSON.parse(process.argv[2]);
const load = (path) => import(new URL(path, sources).href);
const [{ openClutch }, { openStorage }, { FileGuard, Maasl }] = await Promise.all([
  load('clutch/index.js'),
  load('storage/open.js'),
  load('guard/index.js'),
]);

const die = () => process.kill(process.pid, 'SIGKILL');
let writes = 0;

/** A storage in whose writes the process may end. */
function mortal(storage) {
  const write = async (work) => {
    const n = ++writes;
    if (kill?.at === n && kill.side === 'before') die();
    const result = await storage.write(work);
    if (kill?.at === n && kill.side === 'after') die();
    return result;
  };
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === 'write') return write;
      const value = target[name];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const root = join(folder, 'root');
const effects = join(root, 'effects');
const done = () => existsSync(effects) && readFileSync(effects, 'utf8') !== '';
const storage = await openStorage(join(folder, 'clutch.db'));
const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
const clutch = await openClutch({
  storage: mortal(storage),
  auditFolder: join(folder, 'audit'),
  files: await FileGuard.open(maasl, { roots: [root] }),
  providers: { scripted: { kind: 'openai', baseUrl: model, defaultModel: 'scripted' } },
  defaultProvider: 'scripted',
});
const [known] = await clutch.runs();
const { id } = known ?? (await clutch.start({ prompt: 'Do it once.' }));

/** Looks before it says that something was done. */
const decisionOf = (gate) => {
  const base = { decision: 'approve', revision: gate.revision, by: 'person' };
  if (gate.kind !== 'ask') return base;
  return { ...base, edits: { answer: done() ? 'it was done' : 'do it again' } };
};
let open = true;
const person = (async () => {
  while (open) {
    for (const gate of await clutch.gates.list({ status: 'pending' })) {
      await clutch.gates.decide(gate.id, decisionOf(gate));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
})();
const run = await clutch.ended(id);
open = false;
await person;
await clutch.close();
await storage.close();
await maasl.close();
console.log(JSON.stringify({ writes, status: run.status }));
