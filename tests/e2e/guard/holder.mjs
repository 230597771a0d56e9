/**
 * A process that holds or changes something under the guard, for tests that stop and kill it.
 *
 *   node holder.mjs '{"database", "root", "file", "ttlMs", "act", "stopAt"}'
 *
 * It says one JSON line for each thing that happens. `act`: `hold` keeps a lease without renewing it, `write` writes
 * the file. `stopAt`: `rename` or `sync`; there the process stops itself as SIGSTOP from elsewhere would.
 */
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { database, root, file, ttlMs, act, stopAt } = JSON.parse(process.argv[2]);
const say = (line) => fs.writeSync(1, `${JSON.stringify(line)}\n`);

function stop(where) {
  say({ event: 'stopping', where });
  process.kill(process.pid, 'SIGSTOP');
}

if (stopAt === 'rename') {
  const { renameSync } = fs;
  fs.renameSync = (...args) => {
    stop('rename');
    return renameSync(...args);
  };
  syncBuiltinESMExports();
}
if (stopAt === 'sync') {
  const probe = await open(process.execPath);
  const prototype = Object.getPrototypeOf(probe);
  await probe.close();
  const { sync } = prototype;
  prototype.sync = function () {
    stop('sync');
    return sync.call(this);
  };
}

const { FileGuard, Maasl } = await import('../../../dist/guard/index.js');
const maasl = await Maasl.open({ database });
const owner = { agentId: 'holder', sessionId: 'holder-1' };

if (act === 'hold') {
  const lease = await maasl.locks.acquire(`code:${file}`, { ...owner, ttlMs });
  say({ event: 'held', token: String([...lease.tokens.values()][0]) });
  setInterval(() => undefined, 1000);
} else {
  const files = await FileGuard.open(maasl, { roots: [root] });
  try {
    const { token } = await files.write(file, 'of the holder', {}, { ...owner, ttlMs });
    say({ event: 'written', token: String(token) });
  } catch (error) {
    say({ event: 'refused', code: error.code, fields: error.fields });
  }
  await maasl.close();
}
