/**
 * Turns of agents: prompt, answer, transcript. One turn at a time for each agent, any number side by side.
 * Main thread only.
 */

import { checkFields, checkSignal, refuse } from '../arguments.js';

import { StompError, toStompError } from '../errors.js';
import { chatFields, checkChatOptions, type FullChatOptions } from './chat-options.js';
import type { Conversations } from './conversations.js';
import { closedError, type Dispatcher } from './dispatcher.js';
import { type FormClient, Forms } from './forms.js';
import {
  checkGenerateOptions,
  type FullGenerateOptions,
  type GenerateContext,
  type Guidance,
} from './generate-options.js';
import { LiveGeneration } from './generation.js';
import type { Lanes } from './lanes.js';
import { Prompts } from './prompts.js';
import type { Seeds } from './seeds.js';
import { AnswerReader } from './text/answer-reader.js';
import type { ChatTemplate } from './text/chat-template.js';
import { messageText } from './text/message-text.js';
import { checkMessages } from './text/messages.js';
import type { TextTokenizer } from './text/tokenizer.js';
import type { AnswerForm } from './text/tools/parser.js';
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
type Plan = (before: Transcript, asking: FormClient) => Promise<PlannedTurn>;

interface PlannedTurn {
  prompt: Prompt;
  /** The conversation after an answer. */
  messages: (answer: AnswerReader) => readonly ChatMessage[];
  form?: AnswerForm;
  guidance?: Partial<Guidance>;
  stopIds?: readonly number[];
  missReason?: string;
}

/** What a prompt's tokens depend on, beside its messages. */
export type CountOptions = Pick<ChatOptions, (typeof chatFields)[number] | 'system' | 'signal'> & {
  /** Counts as a turn of this agent would, which quotes what it has said. @default none */
  agentId?: string | undefined;
};

export class Turns {
  readonly #setup: TurnsSetup;
  readonly #context: GenerateContext;
  readonly #prompts: Prompts;
  readonly #forms: Forms;
  readonly #live = new Set<LiveGeneration>();
  #closed = false;

  constructor(setup: TurnsSetup) {
    this.#setup = setup;
    this.#context = { vocabSize: setup.vocabSize, nextSeed: () => setup.seeds.next() };
    this.#forms = new Forms(setup.tokenizer);
    this.#prompts = new Prompts({ ...setup, forms: this.#forms });
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, SHUTTING_DOWN; the rest comes with the result. */
  chat(
    agentId: string,
    messages: string | readonly ChatMessage[],
    options: ChatOptions,
    caller: Error,
  ): Generation {
    const checked = checkGenerateOptions(options, this.#context, [...chatFields, 'system']);
    return this.#start(agentId, checked, caller, this.#chatPlan(messages, options));
  }

  /**
   * The tokens of the prompt that `chat` would compute now.
   * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONTEXT_OVERFLOW, CANCELLED
   */
  async count(messages: string | readonly ChatMessage[], options: CountOptions): Promise<number> {
    checkFields('options', options, [...chatFields, 'system', 'signal', 'agentId']);
    const signal = checkSignal('signal', options.signal);
    const plan = this.#chatPlan(messages, options);
    const { agentId } = options;
    const before = agentId === undefined ? Transcript.empty : await this.#setup.conversations.read(agentId);
    return (await plan(before, { client: agentId ?? '', signal })).prompt.tokens.length;
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

  /** Refuses new turns from now on, and ends those that wait for their form. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#forms.close();
  }

  #start(agentId: string, options: FullGenerateOptions, caller: Error, plan: Plan): LiveGeneration {
    if (this.#closed) throw closedError();
    const generation = new LiveGeneration({ agentId, options, caller });
    this.#live.add(generation);
    const lanes = agentId === '' ? [] : [agentId];
    void this.#setup.lanes
      .enter(lanes, () => this.#run(generation, plan, options))
      .catch((error: unknown) => generation.fail(toStompError(error)))
      .finally(() => this.#live.delete(generation));
    return generation;
  }

  async #run(generation: LiveGeneration, plan: Plan, options: FullGenerateOptions): Promise<void> {
    if (!generation.wanted) return;
    const { agentId } = generation;
    const { tokenizer, conversations, dispatcher, vocabulary } = this.#setup;
    const before = agentId === '' ? Transcript.empty : await conversations.read(agentId);
    const { prompt, messages, form, ...rest } = await plan(before, {
      client: agentId,
      signal: generation.over,
    });
    if (!generation.wanted) return;
    if (rest.guidance?.grammar) await vocabulary.ready(rest.guidance.grammar);
    if (!generation.wanted) return;
    const reader = new AnswerReader({
      detokenizer: tokenizer.detokenizer(),
      table: tokenizer,
      stops: options.stop,
      ...(form ? { form } : {}),
    });
    const guidance = { ...rest.guidance, ...this.#script(prompt) };
    await generation.run(dispatcher, { tokens: prompt.tokens, reader, ...rest, guidance }, (answer) => {
      if (agentId === '') return;
      const { raw, whole } = answer;
      const after = Transcript.after(messages(answer), prompt, { text: raw, tokens: answer.tokens(), whole });
      conversations.write(agentId, after);
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

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD at once. */
  #chatPlan(messages: string | readonly ChatMessage[], options: ChatOptions): Plan {
    const asked = checkChatOptions(options);
    const { system } = options;
    if (system !== undefined && typeof system !== 'string') refuse('system', system, 'a text');
    if (typeof messages === 'string') {
      return (before, asking) => {
        const history = begun(before.messages, system);
        return this.#planChat([...history, { role: 'user', content: messages }], asked, before, asking);
      };
    }
    const whole = checkMessages(messages);
    if (system !== undefined) refuse('system', system, 'left out when the whole conversation is given');
    return (before, asking) => this.#planChat(whole, asked, before, asking);
  }

  async #planChat(
    conversation: readonly ChatMessage[],
    asked: FullChatOptions,
    before: Transcript,
    asking: FormClient,
  ): Promise<PlannedTurn> {
    const { messages, ...planned } = await this.#prompts.chat(conversation, asked, before, asking);
    return { ...planned, messages: (answer) => [...messages, assistantMessage(answer)] };
  }

  #planText(text: string): Plan {
    if (text === '') refuse('prompt', text, 'a text of at least one character');
    return async (before, { signal }) => {
      this.#prompts.checkLength(text);
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
}

function assistantMessage({ text, reasoning, toolCalls }: AnswerReader): ChatMessage {
  return {
    role: 'assistant',
    content: text,
    ...(reasoning === '' ? {} : { reasoning }),
    ...(toolCalls.length === 0 ? {} : { toolCalls: toolCalls.map((call) => ({ ...call })) }),
  };
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
