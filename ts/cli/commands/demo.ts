/** `stomp-serve demo`: three agents, two rounds, a restart, a third round, and what each turn cost. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../config/index.js';
import type { Command, Invocation } from '../command.js';
import { team, teamGuide } from '../demo/guide.js';
import { howOf, legend, type Row, storyTable } from '../demo/story.js';
import { WorkerProcess } from '../demo/worker-process.js';
import { engineOptions } from '../load-engine.js';
import { ProgressBar } from '../progress.js';
import { print, say, type Terminal } from '../terminal.js';
import { formatMs } from '../units.js';

export const demo: Command = {
  name: 'demo',
  usage: '',
  summary: 'Show what agents with a cache of their own are good for',
  arguments: [0, 0],
  run: show,
};

const ANSWER_TOKENS = 32;
const EXIT_INTERRUPTED = 130;

async function show({ settings, terminal }: Invocation): Promise<number> {
  const cacheDir = await mkdtemp(join(tmpdir(), 'stomp-demo-'));
  const stage = new Stage(settings, cacheDir, terminal);
  const onSignal = (): void => stage.interrupt();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    await play(stage, terminal);
    return 0;
  } catch (caught) {
    if (stage.interrupted) return EXIT_INTERRUPTED;
    throw caught;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    stage.interrupt();
    await rm(cacheDir, { recursive: true, force: true });
  }
}

async function play(stage: Stage, terminal: Terminal): Promise<void> {
  const names = team.map((agent) => agent.name).join(', ');
  print(terminal, `Three agents (${names}) share one long team guide as their system prompt.`);
  const first = await stage.start();
  await stage.round(1);
  await stage.round(2);
  await stage.end();
  print(terminal, `\nProcess ${first} has ended; nothing of it is left but the files of its agents.`);
  const second = await stage.start();
  print(terminal, `Process ${second} takes over.`);
  await stage.round(3);
  await stage.end();
  print(terminal, `\n${storyTable(stage.rows)}\n\n${legend}`);
}

/** The process that plays now, and what was played so far. */
class Stage {
  readonly rows: Row[] = [];
  readonly #settings: Settings;
  readonly #cacheDir: string;
  readonly #terminal: Terminal;
  readonly #bar: ProgressBar;
  #worker: WorkerProcess | undefined;
  interrupted = false;

  constructor(settings: Settings, cacheDir: string, terminal: Terminal) {
    this.#settings = settings;
    this.#cacheDir = cacheDir;
    this.#terminal = terminal;
    this.#bar = new ProgressBar(terminal.stderr);
  }

  /** @returns the process id. */
  async start(): Promise<number | undefined> {
    const worker = new WorkerProcess(this.#bar.onLoad);
    this.#worker = worker;
    const options = { ...engineOptions(this.#settings), cacheDir: this.#cacheDir };
    const info = await worker.load(this.#settings.model, options).finally(() => this.#bar.done());
    if (this.rows.length === 0) {
      const { name, isa, threads } = info.executor;
      print(
        this.#terminal,
        `Model ${this.#settings.model}, executor ${name} (${isa}, ${threads} threads), process ${worker.pid}.`,
      );
    }
    return worker.pid;
  }

  async round(number: number): Promise<void> {
    print(this.#terminal, `\nRound ${number}`);
    for (const { name, rounds } of team) {
      const message = rounds[number - 1] ?? '';
      say(this.#terminal, `  ${name} is reading …`);
      const answer = await this.#playing().turn({
        agent: name,
        system: teamGuide,
        message,
        maxTokens: ANSWER_TOKENS,
      });
      this.rows.push({ agent: name, round: number, usage: answer.usage });
      const { usage } = answer;
      print(this.#terminal, `  ${name} (${howOf(usage)}, first token after ${formatMs(usage.firstTokenMs)})`);
      print(this.#terminal, `    asked: ${message}`);
      print(this.#terminal, `    says:  ${answer.text.trim().replaceAll(/\s+/g, ' ')}`);
    }
  }

  async end(): Promise<void> {
    await this.#playing().end();
    this.#worker = undefined;
  }

  /** Ends what runs, at once. */
  interrupt(): void {
    this.interrupted = true;
    this.#worker?.kill();
    this.#worker = undefined;
  }

  #playing(): WorkerProcess {
    if (this.#worker) return this.#worker;
    throw new Error('no process is playing');
  }
}
