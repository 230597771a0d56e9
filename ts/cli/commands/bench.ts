/** `stomp-serve bench`: how fast a model is on this machine, and what the cache of an agent saves. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine } from '../../engine/engine.js';
import type { GenerateOptions } from '../../engine/types.js';
import type { Command, Invocation } from '../command.js';
import { loadEngine } from '../load-engine.js';
import { table } from '../table.js';
import { print, say } from '../terminal.js';
import { formatMs, plural } from '../units.js';

export const bench: Command = {
  name: 'bench',
  usage: '',
  summary: 'Measure how fast a model is on this machine, and what the cache of an agent saves',
  arguments: [0, 0],
  run: measure,
};

const EXIT_INTERRUPTED = 130;
const PROMPT_TOKENS = 512;
/** What an agent is told next. */
const MORE_TOKENS = 16;
const ANSWER_TOKENS = 96;
const AGENTS_TOGETHER = [1, 4, 8];

type Row = readonly [what: string, figure: string];

async function measure({ settings, terminal }: Invocation): Promise<number> {
  const cacheDir = await mkdtemp(join(tmpdir(), 'stomp-bench-'));
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const engine = await loadEngine(settings, terminal, { cacheDir, signal: stop.signal });
    try {
      const { name, isa, threads, numerics } = engine.info.executor;
      print(
        terminal,
        `Model ${engine.info.name}, executor ${name} (${isa}, ${plural(threads, 'thread')}, ${numerics}).`,
      );
      say(terminal, 'Measuring …');
      const rows = await new Bench(engine, stop.signal).rows();
      print(terminal, `\n${table([{ title: 'WHAT' }, { title: 'FIGURE', align: 'right' }], rows)}`);
    } finally {
      await engine.close();
    }
    return 0;
  } catch (caught) {
    if (stop.signal.aborted) return EXIT_INTERRUPTED;
    throw caught;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await rm(cacheDir, { recursive: true, force: true });
  }
}

/** The measurements, one after the other, each of one run on prompts that no cache has. */
class Bench {
  readonly #engine: Engine;
  readonly #signal: AbortSignal;
  readonly #text: readonly number[];
  readonly #promptTokens: number;

  constructor(engine: Engine, signal: AbortSignal) {
    this.#engine = engine;
    this.#signal = signal;
    this.#promptTokens = Math.min(PROMPT_TOKENS, Math.floor(engine.info.contextTokens / 2));
    const words = Array.from({ length: PROMPT_TOKENS + 2 * MORE_TOKENS }, (_, i) => `item ${i}`).join(' ');
    this.#text = engine.tokenizer.encode(words);
  }

  async rows(): Promise<Row[]> {
    await this.#answers(1); // what is done once is done then
    const rows: Row[] = [await this.#prompt()];
    for (const agents of AGENTS_TOGETHER) {
      const speed = await this.#answers(agents);
      rows.push([`answers, ${plural(agents, 'agent')}${agents > 1 ? ' together' : ''}`, perSecond(speed)]);
    }
    return [...rows, ...(await this.#returning())];
  }

  async #prompt(): Promise<Row> {
    const prompt = this.#text.slice(0, this.#promptTokens);
    const { usage } = await this.#engine.complete(prompt, this.#options('prompt', 1)).result;
    const seconds = (usage.firstTokenMs - usage.queuedMs) / 1000;
    return [`prompt of ${prompt.length} tokens`, perSecond(usage.computedTokens / seconds)];
  }

  /** @returns tokens a second, of all together. */
  async #answers(agents: number): Promise<number> {
    const prompt = this.#text.slice(0, MORE_TOKENS);
    const began = performance.now();
    const results = await Promise.all(
      Array.from({ length: agents }, (_, i) => {
        const options = {
          ...this.#options(`answers ${agents} ${i}`, ANSWER_TOKENS),
          temperature: 1,
          seed: i,
        };
        return this.#engine.complete(prompt, options).result;
      }),
    );
    const seconds = (performance.now() - began) / 1000;
    return results.reduce((sum, { usage }) => sum + usage.generatedTokens, 0) / seconds;
  }

  async #returning(): Promise<Row[]> {
    const agent = this.#engine.agent('bench');
    let tokens = this.#text.slice(0, this.#promptTokens);
    const turn = async (): Promise<string> => {
      const result = await agent.generate(tokens, this.#options('agent', 1)).result;
      tokens = [...tokens, ...result.tokens, ...this.#text.slice(-MORE_TOKENS)];
      return formatMs(result.usage.firstTokenMs);
    };
    const fresh: Row = ['first token, a new agent', await turn()];
    const again: Row = ['first token, the same agent again', await turn()];
    await agent.evict();
    return [fresh, again, ['first token, the same agent back from disk', await turn()]];
  }

  #options(cacheSalt: string, maxTokens: number): GenerateOptions {
    return { cacheSalt, maxTokens, ignoreEos: true, signal: this.#signal };
  }
}

function perSecond(speed: number): string {
  return `${Math.round(speed).toLocaleString('en-US')} tokens/s`;
}
