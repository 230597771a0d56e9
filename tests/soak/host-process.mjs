import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('host.mjs', import.meta.url));

/** One process of the soak, started again each time it is killed. */
export class Host {
  looks = [];
  kills = 0;
  #name;
  #path;
  #child;
  #task;
  #atWork;
  #eventLoopMs;

  /** @param {object} task what `host.mjs` is told, but for its folders */
  constructor(name, folder, task) {
    this.#name = name;
    this.#path = join(folder, `${name}.json`);
    this.#task = {
      ...task,
      cacheDir: join(folder, `${name}-caches`),
      journal: join(folder, `${name}.jsonl`),
    };
    mkdirSync(this.#task.cacheDir, { recursive: true });
  }

  get journal() {
    return this.#task.journal;
  }

  /** What is left in the cache folder, but for its lock. */
  get files() {
    const names = readdirSync(this.#task.cacheDir, {
      recursive: true,
      encoding: 'utf8',
      withFileTypes: true,
    });
    return names.filter((entry) => entry.isFile() && entry.name !== '.lock').map(({ name }) => name);
  }

  /** Of its last life: 99 of 100 turns of the event loop came no later than this. */
  get lateMs() {
    return this.#eventLoopMs.p99;
  }

  start() {
    this.#task.seed++;
    writeFileSync(this.#path, JSON.stringify(this.#task));
    this.#child = fork(program, [this.#path]);
    this.#atWork = new Promise((resolve) => {
      this.#child.on('message', (message) => {
        if (message.type === 'begun') resolve();
        else this.#hear(message);
      });
    });
  }

  #hear({ type, ...found }) {
    if (type === 'look') this.looks.push(found);
    else this.#eventLoopMs = found.eventLoopMs;
  }

  async kill() {
    this.isAtWork();
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
    this.kills++;
    this.start();
  }

  /** @throws Error when it has ended by itself: it has said why */
  isAtWork() {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null)
      throw new Error(`the ${this.#name} process ended with ${exitCode ?? signalCode}`);
  }

  async stop() {
    const ended = once(this.#child, 'exit');
    await Promise.race([this.#atWork, ended]);
    this.isAtWork();
    this.#child.kill('SIGTERM');
    const [code, signal] = await ended;
    if (code !== 0) throw new Error(`the ${this.#name} process ended with ${code ?? signal}`);
  }
}
