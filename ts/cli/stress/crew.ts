/** The agents of a run: starts them, hears them, kills one now and then. */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { StompError } from '../../errors.js';
import type { FromWorker, ToWorker, WorkerSetup } from './protocol.js';

export interface CrewEvents {
  /** `agentId` said something. */
  heard(agentId: string, message: FromWorker): void;
  /** A process ended by itself that should not have. */
  died(agentId: string, how: string): void;
}

const script = fileURLToPath(new URL('./worker.js', import.meta.url));
// A worker that hangs must not keep the run from ending.
const patienceMs = 30_000;

interface Member {
  readonly agentId: string;
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  readonly gone: Promise<void>;
}

export class Crew {
  readonly killed = new Set<string>();
  readonly #setup: Omit<WorkerSetup, 'agentId'>;
  readonly #events: CrewEvents;
  readonly #members = new Map<string, Member>();
  #started = 0;
  #stopping = false;

  constructor(setup: Omit<WorkerSetup, 'agentId'>, events: CrewEvents) {
    if (!existsSync(script))
      throw new StompError('INTERNAL_ERROR', `${script} is missing; build the package.`);
    this.#setup = setup;
    this.#events = events;
  }

  get size(): number {
    return this.#members.size;
  }

  /** Starts so many agents at once, and has them begin together. */
  async start(count: number): Promise<void> {
    const members = Array.from({ length: count }, () => this.#spawn());
    await Promise.all(members.map(({ ready }) => ready));
    for (const { child } of members) say(child, 'go');
  }

  /** Kills an agent at once and has another take its place. */
  async replaceOne(): Promise<void> {
    const members = [...this.#members.values()];
    const victim = members[Math.floor(Math.random() * members.length)];
    if (!victim) return;
    this.killed.add(victim.agentId);
    victim.child.kill('SIGKILL');
    await victim.gone;
    if (!this.#stopping) await this.start(1);
  }

  /** Lets everybody finish what it is at. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const members = [...this.#members.values()];
    for (const { child } of members) say(child, 'stop');
    const late = setTimeout(() => {
      for (const { agentId, child } of members) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        this.#events.died(agentId, 'did not stop when it was told to');
        child.kill('SIGKILL');
      }
    }, patienceMs);
    await Promise.all(members.map(({ gone }) => gone));
    clearTimeout(late);
  }

  #spawn(): Member {
    const agentId = `agent-${++this.#started}`;
    const child = fork(script, [JSON.stringify({ ...this.#setup, agentId })], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000);
    });
    const ready = new Promise<void>((resolve) => {
      child.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') resolve();
        else this.#events.heard(agentId, message);
      });
      child.once('exit', () => resolve());
    });
    // `close` comes after the last message, `exit` may come before.
    const gone = new Promise<void>((resolve) => {
      child.once('close', (code, signal) => {
        this.#members.delete(agentId);
        if (!this.killed.has(agentId) && code !== 0)
          this.#events.died(agentId, `${signal ?? `code ${code}`} ${errors}`);
        resolve();
      });
    });
    const member = { agentId, child, ready, gone };
    this.#members.set(agentId, member);
    return member;
  }
}

/** To an agent that may be gone already. */
function say(child: ChildProcess, message: ToWorker): void {
  if (child.connected) child.send(message, () => undefined);
}
