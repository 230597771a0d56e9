/**
 * Counts what a process does to files and to a database, and kills it at one of the steps as a power cut would.
 * REQUIRES: imported before anything that uses files.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

let counting = false;
let steps = 0;
let killAt = 0;

/** @param at number of the step before which the process ends; 0: none */
export function killBefore(at) {
  killAt = at;
  counting = true;
}

/** How many there were. */
export const stepsMade = () => steps;

function step(beforeEnd) {
  if (!counting || ++steps !== killAt) return;
  beforeEnd?.();
  process.kill(process.pid, 'SIGKILL');
  // It is on its way; nothing more may happen.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

for (const name of ['openSync', 'fsyncSync', 'closeSync', 'renameSync', 'mkdirSync']) {
  const call = fs[name];
  fs[name] = (...args) => {
    step();
    return call(...args);
  };
}
const { writeFileSync, writeSync } = fs;
fs.writeFileSync = (file, content) => {
  step();
  const half = Buffer.from(content).subarray(0, Buffer.byteLength(content) / 2);
  step(() => writeSync(file, half));
  return writeFileSync(file, content);
};
syncBuiltinESMExports();

/** The storage with a step before each statement, and before and after each commit. */
export function stepping(storage) {
  const write = async (work) => {
    const result = await storage.write(function* () {
      const inner = work();
      let next = inner.next([]);
      while (!next.done) {
        step();
        next = inner.next(yield next.value);
      }
      step();
      return next.value;
    });
    step();
    return result;
  };
  const bound = (value) => (typeof value === 'function' ? value.bind(storage) : value);
  return new Proxy(storage, { get: (_, key) => (key === 'write' ? write : bound(storage[key])) });
}
