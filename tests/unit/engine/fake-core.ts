/**
 * Stands in for the native engine: answers with given tokens, one a step, in the order of the requests (each as
 * likely as e to the power of minus its id), and
 * keeps what it is told to save. Steps happen when a test says so, or by themselves.
 */
import { Template } from '@huggingface/jinja';
import { Conversations } from '../../../ts/engine/conversations.js';
import { Dispatcher } from '../../../ts/engine/dispatcher.js';
import { Lanes } from '../../../ts/engine/lanes.js';
import { Seeds } from '../../../ts/engine/seeds.js';
import { ChatTemplate } from '../../../ts/engine/text/chat-template.js';
import type { TextTokenizer } from '../../../ts/engine/text/tokenizer.js';
import { Turns } from '../../../ts/engine/turns.js';
import { Vocabulary } from '../../../ts/engine/vocabulary.js';
import type { StompError } from '../../../ts/errors.js';
import type {
  NativeEngine,
  NativeError,
  NativeFinish,
  NativeRequest,
  NativeUsage,
} from '../../../ts/native.js';
import { gpt2Parts, textTokenizer } from './vocabularies.js';

interface Running {
  request: NativeRequest;
  started: boolean;
  answer: number[];
  cancelled: boolean;
}

interface StepSoFar {
  events: number[];
  logprobs: number[];
  finished: NativeFinish[];
}

type Core = Pick<NativeEngine, 'submit' | 'cancel' | 'save' | 'transcript' | 'setVocabulary' | 'compile'>;

export class FakeCore implements Core {
  readonly requests: NativeRequest[] = [];
  readonly saved = new Map<string, string>();
  readonly saves: string[] = [];
  readonly vocabularies: { bytes: Uint8Array; ends: Int32Array }[] = [];
  readonly compiled: string[] = [];
  /** When the next grammars are ready. */
  compiling: Promise<void> = Promise.resolve();
  /** What the next requests are answered with. */
  answer: (request: NativeRequest) => number[] = () => [];
  /** When set, the next request ends with it. */
  error: NativeError | undefined;
  saveError: NativeError | undefined;
  #running: Running[] = [];
  readonly #onStep: Dispatcher['onStep'];

  constructor(onStep: Dispatcher['onStep']) {
    this.#onStep = onStep;
  }

  submit(request: NativeRequest): void {
    this.requests.push(request);
    this.#running.push({ request, answer: this.answer(request), started: false, cancelled: false });
  }

  cancel(id: number): void {
    for (const one of this.#running) if (one.request.id === id) one.cancelled = true;
  }

  save(agent: string, transcript: string): Promise<void> {
    this.saves.push(agent);
    if (this.saveError) return Promise.reject(Object.assign(new Error(), this.saveError));
    this.saved.set(agent, transcript);
    return Promise.resolve();
  }

  transcript(agent: string): Promise<string> {
    return Promise.resolve(this.saved.get(agent) ?? '');
  }

  setVocabulary(bytes: Uint8Array, ends: Int32Array): Promise<void> {
    this.vocabularies.push({ bytes, ends });
    return Promise.resolve();
  }

  compile(grammar: string): Promise<void> {
    this.compiled.push(grammar);
    return this.compiling;
  }

  get busy(): number {
    return this.#running.length;
  }

  /** One step: a token for each request, or its end. */
  step(): void {
    const step: StepSoFar = { events: [], logprobs: [], finished: [] };
    for (const one of [...this.#running]) this.#advance(one, step);
    const { events, logprobs, finished } = step;
    this.#onStep(Int32Array.from(events), events.length / 3, finished, Float32Array.from(logprobs));
  }

  #advance(one: Running, { events, logprobs, finished }: StepSoFar): void {
    const { id, topLogprobs } = one.request;
    if (!one.started) events.push(id, 1, -1);
    one.started = true;
    const token = one.answer.shift();
    if (token === undefined || one.cancelled || this.error !== undefined) {
      finished.push(this.#finish(one));
      this.#running = this.#running.filter((other) => other !== one);
    } else if (topLogprobs < 0) {
      events.push(id, token, 0);
    } else {
      events.push(id, token, -2);
      logprobs.push(token, -token);
    }
  }

  /** Steps until a condition holds. */
  async stepUntil(done: () => boolean): Promise<void> {
    for (let steps = 0; !done(); steps++) {
      if (steps > 10_000) throw new Error('nothing more happens');
      this.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #finish({ request, cancelled }: Running): NativeFinish {
    const usage: NativeUsage = {
      promptTokens: request.prompt.length,
      cachedTokens: 1,
      ownTokens: 1,
      sharedTokens: 0,
      restoredTokens: 0,
      generatedTokens: 3,
      draftedTokens: 0,
      acceptedTokens: 0,
      missReason: '',
      queuedMs: 1,
      firstTokenMs: 2,
      totalMs: 3,
    };
    if (this.error) {
      const { error } = this;
      this.error = undefined;
      return { request: request.id, reason: 'error', usage, error };
    }
    return { request: request.id, reason: cancelled ? 'cancelled' : 'stop', usage };
  }
}

export interface Rig {
  core: FakeCore;
  dispatcher: Dispatcher;
  conversations: Conversations;
  lanes: Lanes;
  turns: Turns;
  tokenizer: TextTokenizer;
  seeds: Seeds;
  /** What the engine's user has scripted. */
  script?: ((prompt: string) => string | undefined) | undefined;
  warnings: StompError[];
  /** Answers every request with this text. */
  says(text: string): void;
  /** Resolves to what a promise settles to, stepping the core meanwhile. */
  settle<T>(promise: Promise<T>): Promise<T>;
}

const chatMarkup =
  "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] }}</s>{% endfor %}<s>assistant ";

export interface RigOptions {
  /** Source of the chat template. */
  template?: string;
  /** Markers of the vocabulary, special ones. */
  markers?: readonly string[];
}

export async function rig({ template: source = chatMarkup, markers = [] }: RigOptions = {}): Promise<Rig> {
  const plain = Object.keys(gpt2Parts().json.model.vocab).length;
  const added = markers.map((content, i) => ({ id: plain + i, content, special: true, normalized: false }));
  const tokenizer = await textTokenizer(gpt2Parts({ added }));
  const dispatcher = new Dispatcher();
  const core = new FakeCore(dispatcher.onStep);
  dispatcher.attach(core);
  const warnings: StompError[] = [];
  const { vocabSize } = tokenizer;
  const onWarning = (warning: StompError) => warnings.push(warning);
  const conversations = new Conversations({ engine: core, vocabSize, onWarning });
  const lanes = new Lanes();
  const seeds = new Seeds();
  const template = new ChatTemplate(
    source,
    { bos_token: '<s>' },
    (text) => new Template(text),
    (marker) => tokenizer.hasAdded(marker),
  );
  const turns = new Turns({
    tokenizer,
    template,
    dispatcher,
    conversations,
    lanes,
    contextTokens: 4096,
    vocabSize,
    seeds,
    vocabulary: new Vocabulary({ engine: core, tokenizer, vocabSize }),
    script: (prompt) => one.script?.(prompt),
    eosIds: [1],
  });
  const one: Rig = {
    core,
    dispatcher,
    conversations,
    lanes,
    turns,
    tokenizer,
    seeds,
    warnings,
    says: (text) => {
      core.answer = () => tokenizer.encode(text);
    },
    settle: async (promise) => {
      let settled = false;
      const done = () => {
        settled = true;
      };
      promise.then(done, done);
      await core.stepUntil(() => settled);
      return promise;
    },
  };
  return one;
}
