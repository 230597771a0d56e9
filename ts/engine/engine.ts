/**
 * One model in memory and the agents that share it. Main thread only; the work happens on the core's
 * own thread, so nothing here blocks the event loop.
 */

import { checkBoolean, checkFields, checkSignal, checkText } from '../arguments.js';
import { StompError, toStompError } from '../errors.js';
import { type NativeEngine, type NativeModelInfo, native } from '../native.js';
import { type Agent, AgentHandle } from './agent.js';
import { agentsOnDisk } from './agent-files.js';
import { checkAgentId } from './agent-id.js';
import { Conversations } from './conversations.js';
import { closedError, Dispatcher } from './dispatcher.js';
import { checkBatchWindow, checkEngineOptions, type FullEngineOptions } from './engine-options.js';
import { chooseExecutor } from './executor-choice.js';
import { checkSeed } from './generate-options.js';
import { abortError } from './generation.js';
import { Lanes } from './lanes.js';
import { resolveModel } from './models/registry.js';
import { scoreTokens } from './score.js';
import { Seeds } from './seeds.js';
import { checkMessages } from './text/messages.js';
import { loadModelText, type ModelText } from './text/model-text.js';
import { Transcript } from './text/transcript.js';
import { type CountOptions, checkTokens, Turns } from './turns.js';
import type {
  AgentInfo,
  ChatMessage,
  ChatOptions,
  ClearCachesOptions,
  EngineInfo,
  EngineOptions,
  EngineStats,
  GenerateOptions,
  Generation,
  ScoreOptions,
  ScoreResult,
  Tokenizer,
} from './types.js';
import { Vocabulary } from './vocabulary.js';
import { Watchdog } from './watchdog.js';

interface Loaded {
  engine: NativeEngine;
  dispatcher: Dispatcher;
  model: ModelText;
  info: EngineInfo;
  options: FullEngineOptions;
}

/**
 * A loaded model and the agents that share it. Calls may overlap: their requests are computed in one
 * batch. `close()` (or `await using`, where the language has it) saves every agent and frees the memory.
 */
export class Engine {
  /** Facts of the model, fixed for the engine's life. */
  readonly info: EngineInfo;
  readonly #engine: NativeEngine;
  readonly #dispatcher: Dispatcher;
  readonly #model: ModelText;
  readonly #lanes = new Lanes();
  readonly #seeds = new Seeds();
  readonly #conversations: Conversations;
  readonly #turns: Turns;
  readonly #watchdog: Watchdog;
  #closing: Promise<void> | undefined;

  private constructor(loaded: Loaded) {
    this.info = loaded.info;
    this.#engine = loaded.engine;
    this.#dispatcher = loaded.dispatcher;
    this.#model = loaded.model;
    const vocabSize = Math.max(loaded.info.vocabSize, loaded.model.tokenizer.vocabSize);
    this.#conversations = new Conversations({
      engine: loaded.engine,
      vocabSize,
      onWarning: loaded.options.onWarning,
    });
    this.#watchdog = new Watchdog({
      engine: loaded.engine,
      limitMs: loaded.options.watchdogMs,
      onWarning: loaded.options.onWarning,
    });
    this.#turns = new Turns({
      ...loaded.model,
      dispatcher: loaded.dispatcher,
      conversations: this.#conversations,
      lanes: this.#lanes,
      contextTokens: loaded.info.contextTokens,
      vocabSize: loaded.info.vocabSize,
      seeds: this.#seeds,
      vocabulary: new Vocabulary({
        engine: loaded.engine,
        tokenizer: loaded.model.tokenizer,
        vocabSize: loaded.info.vocabSize,
      }),
      script: loaded.options.script,
      eosIds: loaded.info.eosIds,
    });
  }

  /**
   * Loads a model: `smollm2-135m`, the path of a .gguf file or of a model folder, or a hub id
   * `owner/name`. Brings it first if it is not on this machine.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, MODEL_NOT_FOUND, MODEL_INVALID,
   *   MODEL_UNSUPPORTED, MODEL_DOWNLOAD, EXECUTOR_UNAVAILABLE, ENGINE_UNAVAILABLE, CACHE_IN_USE, CANCELLED.
   */
  static async load(model: string, options: EngineOptions = {}): Promise<Engine> {
    const caller = new Error();
    const checked = checkEngineOptions(options);
    try {
      const addon = native(); // before a model is brought for nothing
      const choice = chooseExecutor(checked.executor);
      const path = await resolveModel(model, checked);
      const text = await loadModelText(path);
      checked.signal?.throwIfAborted();
      const dispatcher = new Dispatcher();
      const loading = addon.loadEngine(
        { ...nativeOptions(checked), ...choice, modelPath: path },
        (fraction) => checked.onProgress({ phase: 'load', fraction }),
        dispatcher.onStep,
      );
      const { engine, info } = await orAbort(loading, checked.signal);
      dispatcher.attach(engine);
      return new Engine({
        engine,
        dispatcher,
        model: text,
        info: { ...engineInfo(model, path, info, checked), toolFormat: toolFormat(text) },
        options: checked,
      });
    } catch (error) {
      throw checked.signal?.aborted ? abortError(checked.signal) : toStompError(error, caller);
    }
  }

  /** Text to tokens and back, as the model reads it. */
  get tokenizer(): Tokenizer {
    return this.#model.tokenizer;
  }

  /**
   * The agent of this name; it comes to be with its first turn.
   * @throws StompError INVALID_REQUEST when the id is not `[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}`.
   */
  agent(id: string): Agent {
    return this.#handle(checkAgentId(id));
  }

  /**
   * Makes an agent whose conversation has begun with these messages; nothing of them is computed before its
   * first turn.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, AGENT_EXISTS.
   */
  async create(id: string, messages: readonly ChatMessage[] = []): Promise<Agent> {
    const agent = checkAgentId(id);
    const opening = messages.length === 0 ? Transcript.empty : Transcript.begun(checkMessages(messages));
    await this.#inLane([agent], async () => {
      await this.#engine.create(agent);
      this.#conversations.write(agent, opening);
    });
    return this.#handle(agent);
  }

  /** Agents in memory and on disk. */
  agents(): Promise<AgentInfo[]> {
    return this.#call(() => this.#engine.agents());
  }

  /**
   * Names of the agents with a file or a conversation that begin so, in no order. Opens no file, as `agents` may do
   * with each of them.
   * @throws StompError INVALID_REQUEST, CACHE_PERSISTENCE
   */
  agentIds(prefix = ''): Promise<string[]> {
    const beginning = checkText('prefix', prefix, '', 128);
    const { cacheDir, fingerprint } = this.info;
    return this.#call(async () => {
      const kept =
        cacheDir === undefined
          ? (await this.#engine.agents()).map(({ id }) => id)
          : await agentsOnDisk(cacheDir, fingerprint);
      const ids = new Set([...kept, ...this.#conversations.agents]);
      return [...ids].filter((id) => id.startsWith(beginning));
    });
  }

  /** How long the engine has been at one step, once that is longer than `watchdogMs`; else 0. */
  get stalledMs(): number {
    return this.#watchdog.stalledMs;
  }

  /** Figures since the load. */
  async stats(): Promise<EngineStats> {
    const stats = await this.#call(() => this.#engine.stats());
    return { ...stats, liveGenerations: this.#turns.live };
  }

  /**
   * An answer to a raw prompt that belongs to no agent; its cache is shared but not kept. Throws as
   * `Agent.chat` does.
   */
  complete(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    return this.#turns.generate('', prompt, options, new Error());
  }

  /**
   * One turn of a conversation that belongs to no agent, given whole or begun with a string; its cache is shared but
   * not kept. Throws as `Agent.chat` does.
   */
  chat(messages: string | readonly ChatMessage[], options: ChatOptions = {}): Generation {
    return this.#turns.chat('', messages, options, new Error());
  }

  /**
   * How likely the model finds a text of at least two tokens. Ids are read as they are, with nothing before.
   * @throws StompError INVALID_REQUEST, CONTEXT_OVERFLOW, QUEUE_FULL, CANCELLED
   */
  async score(text: string | readonly number[], options: ScoreOptions = {}): Promise<ScoreResult> {
    const caller = new Error();
    checkFields('options', options, ['signal', 'cacheSalt']);
    const given = typeof text === 'string' ? text : checkTokens('text', text, this.info.vocabSize);
    const request = {
      cacheSalt: checkText('cacheSalt', options.cacheSalt, '', 256),
      signal: checkSignal('signal', options.signal),
    };
    return this.#call(async () => {
      if (typeof given !== 'string') return scoreTokens(this.#dispatcher, given, request);
      const { tokens } = await this.#model.tokenizer.encodeInSlices(given, 0, request.signal);
      const prompt = [...this.#model.tokenizer.bosBefore(tokens), ...tokens];
      return scoreTokens(this.#dispatcher, prompt, request);
    }, caller);
  }

  /**
   * How many tokens the prompt of a chat has: exactly those that `Agent.chat` would compute or find in a cache.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONTEXT_OVERFLOW, CANCELLED
   */
  async countTokens(messages: string | readonly ChatMessage[], options: CountOptions = {}): Promise<number> {
    const caller = new Error();
    if (options.agentId !== undefined) checkAgentId(options.agentId, 'agentId');
    return this.#call(() => this.#turns.count(messages, options), caller);
  }

  /**
   * Deletes an agent from memory and disk. Its turns, waiting ones too, reject with AGENT_NOT_FOUND.
   * @throws AGENT_NOT_FOUND
   */
  async remove(id: string): Promise<void> {
    const agent = checkAgentId(id);
    const removed = () =>
      new StompError('AGENT_NOT_FOUND', `The agent ${agent} was removed before its answer was complete.`, {
        fields: { agent },
      });
    this.#turns.abort(removed, agent);
    await this.#inLane([agent], async () => {
      this.#conversations.forget(agent);
      await this.#engine.remove(agent);
    });
  }

  /** Moves an agent to disk, after its turns. @throws AGENT_NOT_FOUND, CACHE_PERSISTENCE */
  async evict(id: string): Promise<void> {
    const agent = checkAgentId(id);
    await this.#inLane([agent], async () => {
      await this.#conversations.settle(agent);
      await this.#engine.evict(agent);
      this.#conversations.forget(agent);
    });
  }

  /**
   * How long an idle engine waits for more requests before it begins with those that are there.
   * @param ms 0 to 1000
   * @throws StompError INVALID_REQUEST, SHUTTING_DOWN
   */
  setBatchWindow(ms: number): void {
    const window = checkBatchWindow(ms);
    if (this.#closing) throw closedError();
    this.#engine.setBatchWindow(window);
  }

  /**
   * Requests that name no seed get theirs from this one: the n-th after this call always the same.
   * @param seed 0 to 2^53 - 1; undefined: random ones again
   * @throws StompError INVALID_REQUEST
   */
  setSeed(seed: number | undefined): void {
    this.#seeds.set(seed === undefined ? undefined : checkSeed(seed));
  }

  /**
   * Takes the caches of all agents without a turn out of memory, saved first, and forgets all that prompts have left
   * there. With `disk` those agents end: their files and conversations are deleted. Turns that run go on, and so do
   * the conversations they belong to.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CACHE_PERSISTENCE when an agent could not be saved, which
   *   then stays, or its file not be deleted.
   */
  async clearCaches(options: ClearCachesOptions = {}): Promise<void> {
    const caller = new Error();
    checkFields('options', options, ['disk']);
    const disk = checkBoolean('disk', options.disk, false);
    await this.#call(async () => {
      const keep = this.#turns.busyAgents;
      if (disk) this.#conversations.forgetAll(keep);
      else await this.#conversations.settleAll();
      await this.#engine.clearCaches(disk, [...keep]);
    }, caller);
  }

  /**
   * Cancels what runs, saves every agent, gives all memory back. May be called again.
   * `process.exit()` and signals do not wait for it: a program that holds an engine calls it from its own
   * handlers (`stomp-serve` does).
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const forms = this.#turns.close();
    this.#turns.abort(closedError);
    await forms;
    await this.#lanes.drained();
    await this.#conversations.settleAll();
    try {
      await this.#engine.close();
      this.#watchdog.stop();
    } catch (error) {
      throw toStompError(error);
    } finally {
      this.#dispatcher.close();
    }
  }

  #handle(id: string): Agent {
    return new AgentHandle(id, {
      chat: (messages, options, caller) => this.#turns.chat(id, messages, options, caller),
      generate: (prompt, options, caller) => this.#turns.generate(id, prompt, options, caller),
      fork: (to) => this.#fork(id, to),
      load: () => this.#inLane([id], () => this.#engine.load(id)),
      save: () => this.#inLane([id], () => this.#conversations.save(id)),
      evict: () => this.evict(id),
      remove: () => this.remove(id),
      info: async () => (await this.agents()).find((agent) => agent.id === id),
      transcript: () => this.#call(async () => (await this.#conversations.read(id)).view()),
    });
  }

  async #fork(from: string, newId: string): Promise<Agent> {
    const to = checkAgentId(newId, 'newId');
    await this.#inLane([from, to], async () => {
      await this.#engine.fork(from, to);
      const transcript = await this.#conversations.read(from);
      if (transcript !== Transcript.empty) this.#conversations.write(to, transcript);
    });
    return this.#handle(to);
  }

  #inLane<T>(agents: readonly string[], work: () => Promise<T>): Promise<T> {
    return this.#call(() => this.#lanes.enter(agents, work));
  }

  async #call<T>(work: () => Promise<T>, caller = new Error()): Promise<T> {
    if (this.#closing) throw closedError();
    try {
      return await work();
    } catch (error) {
      throw toStompError(error, caller);
    }
  }
}

/** The load cannot be interrupted: an aborted one is closed when it is there. */
async function orAbort<T extends { engine: NativeEngine }>(
  loading: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return loading;
  const { promise, stop } = whenAborted(signal);
  try {
    return await Promise.race([loading, promise]);
  } catch (error) {
    // The abort is what the caller hears of; a load that fails now has nothing to close.
    loading.then(({ engine }) => engine.close()).catch(() => undefined);
    throw error;
  } finally {
    stop();
  }
}

function whenAborted(signal: AbortSignal): { promise: Promise<never>; stop: () => void } {
  const listening = new AbortController();
  const promise = new Promise<never>((_, reject) => {
    const onAbort = () => reject(abortError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true, signal: listening.signal });
  });
  return { promise, stop: () => listening.abort() };
}

function nativeOptions(options: FullEngineOptions) {
  return {
    threads: options.threads,
    exact: options.numerics === 'exact',
    kvBits: options.kvBits,
    blockTokens: options.blockTokens,
    cacheBudgetBytes: options.cacheBudgetMb * 2 ** 20,
    maxBatchSize: options.maxBatchSize,
    prefillStepTokens: options.prefillStepTokens,
    maxQueue: options.maxQueue,
    maxAgents: options.maxAgentsInMemory,
    maxContext: options.maxContext,
    cacheDir: options.cacheDir,
    diskBudgetBytes: options.diskBudgetMb * 2 ** 20,
    batchWindowMs: options.batchWindowMs,
    speculation: options.speculation === 'auto',
  };
}

/** Undefined where there is no template that could be used. */
function toolFormat({ template }: ModelText): EngineInfo['toolFormat'] {
  try {
    return template.traits.toolFormat;
  } catch (error) {
    if (error instanceof StompError) return undefined; // told again to whoever chats
    throw error;
  }
}

function engineInfo(
  model: string,
  path: string,
  info: NativeModelInfo,
  options: FullEngineOptions,
): Omit<EngineInfo, 'toolFormat'> {
  return {
    model,
    path,
    name: info.name,
    family: info.family,
    fingerprint: info.fingerprint,
    layers: info.nLayers,
    vocabSize: info.vocabSize,
    contextTokens: info.maxContext,
    eosIds: info.eosIds,
    kvBits: options.kvBits,
    executor: info.executor,
    cacheDir: options.cacheDir === '' ? undefined : options.cacheDir,
  };
}
