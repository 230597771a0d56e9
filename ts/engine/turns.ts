/**
 * Turns of agents: prompt, answer, transcript. One turn at a time for each agent, any number side by side.
 * Main thread only.
 */

import { refuse } from '../arguments.js';
import { StompError, toStompError } from '../errors.js';
import type { Conversations } from './conversations.js';
import { closedError, type Dispatcher } from './dispatcher.js';
import {
  checkGenerateOptions,
  type FullGenerateOptions,
  type GenerateContext,
  type Guidance,
} from './generate-options.js';
import { LiveGeneration } from './generation.js';
import type { Lanes } from './lanes.js';
import type { Seeds } from './seeds.js';
import { Answer } from './text/answer.js';
import { type ChatTemplate, messageText } from './text/chat-template.js';
import { checkMessages } from './text/messages.js';
import type { TextTokenizer } from './text/tokenizer.js';
import { type Prompt, Transcript } from './text/transcript.js';
import type { ChatMessage, ChatOptions, GenerateOptions, Generation } from './types.js';
import type { Vocabulary } from './vocabulary.js';

export interface TurnsSetup {
  tokenizer: TextTokenizer;
  template: ChatTemplate;
  dispatcher: Dispatcher;
  conversations: Conversations;
  lanes: Lanes;
  contextTokens: number;
  /** Ids of the model, which may be more than the tokenizer knows. */
  vocabSize: number;
  seeds: Seeds;
  vocabulary: Vocabulary;
  /** What to answer a prompt with, in the place of what the model would say. */
  script?: ((prompt: string) => string | undefined) | undefined;
  /** Tokens that end an answer. */
  eosIds: readonly number[];
}

/** What a turn asks, once the agent's earlier turns are over. */
type Plan = (before: Transcript, signal: AbortSignal | undefined) => Promise<PlannedTurn>;

interface PlannedTurn {
  prompt: Prompt;
  /** What the answer must look like. @default anything */
  guidance?: Partial<Guidance>;
  /** The conversation after an answer of this text. */
  messages: (answer: string) => readonly ChatMessage[];
}

/** Options of `Engine.countTokens`: those that change the prompt. */
export interface CountOptions
  extends Pick<
    ChatOptions,
    'tools' | 'toolChoice' | 'parallelToolCalls' | 'responseFormat' | 'reasoning' | 'signal'
  > {
  /** Whose conversation it would be: what the agent has said is counted as it was said. @default nobody's */
  agentId?: string | undefined;
}

export class Turns {
  readonly #setup: TurnsSetup;
  readonly #context: GenerateContext;
  readonly #live = new Set<LiveGeneration>();
  #closed = false;

  constructor(setup: TurnsSetup) {
    this.#setup = setup;
    this.#context = { vocabSize: setup.vocabSize, nextSeed: () => setup.seeds.next() };
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, SHUTTING_DOWN; the rest comes with the result. */
  chat(
    agentId: string,
    messages: string | readonly ChatMessage[],
    options: ChatOptions,
    caller: Error,
  ): Generation {
    const checked = checkGenerateOptions(options, this.#context, ['system']);
    const { system } = options;
    if (system !== undefined && typeof system !== 'string') refuse('system', system, 'a text');
    if (typeof messages === 'string') {
      return this.#start(agentId, checked, caller, (before, signal) => {
        const history = begun(before.messages, system);
        return this.#planChat([...history, { role: 'user', content: messages }], before, signal);
      });
    }
    const whole = checkMessages(messages);
    if (system !== undefined) refuse('system', system, 'left out when the whole conversation is given');
    return this.#start(agentId, checked, caller, (before, signal) => this.#planChat(whole, before, signal));
  }

  /** As `chat`. `agentId` may be empty: nothing is kept then. */
  generate(
    agentId: string,
    prompt: string | readonly number[],
    options: GenerateOptions,
    caller: Error,
  ): Generation {
    const checked = checkGenerateOptions(options, this.#context);
    const plan = typeof prompt === 'string' ? this.#planText(prompt) : this.#planTokens(prompt);
    return this.#start(agentId, checked, caller, plan);
  }

  /** Tokens of the prompt that `chat` would make now. @throws as `chat` does */
  async count(messages: readonly ChatMessage[], { agentId, ...options }: CountOptions): Promise<number> {
    const { signal } = checkGenerateOptions(options);
    const whole = checkMessages(messages);
    const before = agentId === undefined ? Transcript.empty : await this.#setup.conversations.read(agentId);
    const { prompt } = await this.#planChat(whole, before, signal);
    return prompt.tokens.length;
  }

  /** Ends every turn of an agent, or of all, waiting ones included. */
  abort(error: () => StompError, agentId?: string): void {
    for (const generation of [...this.#live]) {
      if (agentId === undefined || generation.agentId === agentId) generation.fail(error());
    }
  }

  get live(): number {
    return this.#live.size;
  }

  /** Agents of which a turn is under way or waits for its predecessor. */
  get busyAgents(): ReadonlySet<string> {
    return new Set([...this.#live].map((generation) => generation.agentId));
  }

  /** Refuses new turns from now on. */
  close(): void {
    this.#closed = true;
  }

  #start(agentId: string, options: FullGenerateOptions, caller: Error, plan: Plan): LiveGeneration {
    if (this.#closed) throw closedError();
    const answer = new Answer(this.#setup.tokenizer.detokenizer(), options.stop);
    const generation = new LiveGeneration({ agentId, options, answer, caller });
    this.#live.add(generation);
    const lanes = agentId === '' ? [] : [agentId];
    void this.#setup.lanes
      .enter(lanes, () => this.#run(generation, plan, options.signal))
      .catch((error: unknown) => generation.fail(toStompError(error)))
      .finally(() => this.#live.delete(generation));
    return generation;
  }

  async #run(generation: LiveGeneration, plan: Plan, signal: AbortSignal | undefined): Promise<void> {
    if (!generation.wanted) return;
    const { agentId } = generation;
    const before = agentId === '' ? Transcript.empty : await this.#setup.conversations.read(agentId);
    const { prompt, messages, guidance } = await plan(before, signal);
    if (guidance?.grammar) await this.#setup.vocabulary.given();
    if (!generation.wanted) return;
    const record = (answer: Answer) => {
      if (agentId === '') return;
      const { text, whole } = answer;
      const after = Transcript.after(messages(text), prompt, { text, tokens: answer.tokens(), whole });
      this.#setup.conversations.write(agentId, after);
    };
    await generation.run(this.#setup.dispatcher, prompt.tokens, record, {
      ...guidance,
      ...this.#script(prompt),
    });
  }

  // An answer of no text is one that ends at once.
  #script(prompt: Prompt): Partial<Guidance> {
    const { script, tokenizer, eosIds } = this.#setup;
    const text = script?.(prompt.text);
    if (text === undefined) return {};
    if (typeof text !== 'string') refuse('script', text, 'a function that returns a text or undefined');
    const tokens = text === '' ? eosIds.slice(0, 1) : tokenizer.encode(text);
    return { script: Int32Array.from(tokens) };
  }

  async #planChat(
    messages: readonly ChatMessage[],
    before: Transcript,
    signal: AbortSignal | undefined,
  ): Promise<PlannedTurn> {
    const text = this.#setup.template.render(messages);
    this.#checkLength(text);
    const prompt = await before.extend(text, this.#setup.tokenizer, { signal });
    return { prompt, messages: (answer) => [...messages, { role: 'assistant', content: answer }] };
  }

  #planText(text: string): Plan {
    if (text === '') refuse('prompt', text, 'a text of at least one character');
    return async (before, signal) => {
      this.#checkLength(text);
      const prompt = await before.extend(text, this.#setup.tokenizer, { bos: true, signal });
      return { prompt, messages: () => before.messages };
    };
  }

  // Without its text nothing can be said to begin like it: no seams. The text is for the transcript, after the answer.
  #planTokens(prompt: readonly number[]): Plan {
    const { tokenizer, vocabSize } = this.#setup;
    const tokens = checkTokens('prompt', prompt, vocabSize);
    return async (before) => ({
      prompt: {
        get text() {
          return tokenizer.decode(tokens);
        },
        tokens,
        seams: [],
        bos: false,
        keptTokens: 0,
      },
      messages: () => before.messages,
    });
  }

  // Spares the work of encoding what cannot fit by any means.
  #checkLength(text: string): void {
    const { tokenizer, contextTokens } = this.#setup;
    const least = Math.ceil(text.length / tokenizer.maxTokenBytes);
    if (least < contextTokens) return;
    throw new StompError(
      'CONTEXT_OVERFLOW',
      `The prompt has at least ${least} tokens, the context holds ${contextTokens}. Shorten the conversation.`,
      { fields: { promptTokens: least, contextTokens } },
    );
  }
}

/** The conversation that a string continues. */
function begun(messages: readonly ChatMessage[], system: string | undefined): readonly ChatMessage[] {
  if (system === undefined) return messages;
  const first = messages[0];
  if (!first) return [{ role: 'system', content: system }];
  if (first.role === 'system' && messageText(first) === system) return messages;
  throw new StompError(
    'INVALID_REQUEST',
    'This agent has begun its conversation with another system prompt. Leave `system` out, or use another agent.',
    { fields: { field: 'system' } },
  );
}

/** @throws StompError INVALID_REQUEST */
export function checkTokens(field: string, prompt: unknown, vocabSize: number): number[] {
  const fits = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabSize;
  const list: unknown[] = Array.isArray(prompt) ? prompt : [];
  if (list.length === 0 || !list.every(fits)) {
    refuse(field, prompt, `a text or a non-empty array of token ids below ${vocabSize}`);
  }
  return list.map(Number);
}
