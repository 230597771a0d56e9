/**
 * A process that writes entries into progress logs, for tests that kill it.
 *
 *   node log-writer.mjs '{"database", "projects", "agent", "from", "to", "rotateBytes", "leaseTtlMs", "kill"}'
 *
 * Entry n goes to the project of its turn under the id `<agent>-<n>`; each is said on a line of its own when it is
 * stored and written. `kill: {at, entry, signal}`: the process kills itself at this point of the entry, as SIGKILL from
 * elsewhere would; or stops itself, with SIGSTOP.
 */
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const setup = JSON.parse(process.argv[2]);
const { kill } = setup;
let armed = false;

function die(at) {
  if (armed && kill?.at === at) process.kill(process.pid, kill.signal ?? 'SIGKILL');
}

const { writeSync, linkSync, unlinkSync } = fs;
fs.writeSync = (fd, bytes, from, length, at) => {
  const header = bytes[from] === 0x23;
  const half = header ? 'half a header' : 'half a line';
  if (armed && kill?.at === half) writeSync(fd, bytes, from, Math.floor(length / 2), at);
  die(half);
  die('before the write');
  const written = writeSync(fd, bytes, from, length, at);
  die('written');
  return written;
};
fs.linkSync = (...args) => {
  die('before the rename');
  linkSync(...args);
  die('half renamed');
};
fs.unlinkSync = (...args) => {
  unlinkSync(...args);
  die('renamed');
};
syncBuiltinESMExports();
const probe = await open(process.execPath);
const prototype = Object.getPrototypeOf(probe);
await probe.close();
const { datasync } = prototype;
prototype.datasync = async function () {
  await datasync.call(this);
  die('synced');
};

const { openStorage } = await import('../../../dist/storage/open.js');
const { Maasl } = await import('../../../dist/guard/index.js');
const { ProgressLog } = await import('../../../dist/context/progress-log.js');
const { newEntries } = await import('../../../dist/context/new-entry.js');

const storage = await openStorage(setup.database);
const points = [
  ['stored', /^INSERT INTO entries/],
  ['noted', /^INSERT INTO progress_logs/],
  ['closed', /^INSERT INTO progress_log_archives/],
];

/** Dies before the transaction that says so is begun, before it is committed, or after. */
function* watched(work, seen) {
  let step = work.next([]);
  while (!step.done) {
    const { sql } = step.value;
    if (/^UPDATE metrics SET entries = entries/.test(sql)) die('leased');
    for (const [name, pattern] of points) if (pattern.test(sql)) seen.add(name);
    const found = yield step.value;
    step = work.next(found);
  }
  for (const name of seen) die(`${name}, not committed`);
  return step.value;
}
const { write } = storage;
storage.write = async (work) => {
  const seen = new Set();
  const result = await write.call(storage, () => watched(work(), seen));
  for (const name of seen) die(name);
  return result;
};

const maasl = await Maasl.open({ database: storage });
const { rotateBytes, leaseTtlMs, projects, agent } = setup;
const log = await ProgressLog.open({ maasl, rotateBytes, leaseTtlMs, maxWaitMs: 120_000 });
for (let n = setup.from; n < setup.to; n++) {
  armed = n === kill?.entry;
  const project = projects[n % projects.length];
  const item = { message: `${agent} ${n} | of\n${project.name}`, id: `${agent}-${n}`, meta: { n } };
  const result = await log.append(project, newEntries([item], Date.now()), {
    agentId: agent,
    sessionId: `${agent}-session`,
  });
  writeSync(1, `${JSON.stringify({ n, written: result.log.written, error: result.log.error })}\n`);
}
await log.close();
await maasl.close();
await storage.close();
