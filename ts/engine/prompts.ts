/** From a conversation and what is asked of its answer to prompt, form of the answer and guidance of the core. */
import { StompError } from '../errors.js';
import { loopTurn } from '../loop-turn.js';
import type { FullChatOptions } from './chat-options.js';
import type { FormClient, Forms } from './forms.js';
import type { Guidance } from './generate-options.js';
import type { ChatTemplate } from './text/chat-template.js';
import { quotedPrompt } from './text/quoting.js';
import type { TemplateTraits } from './text/template-traits.js';
import type { TextTokenizer } from './text/tokenizer.js';
import type { AnswerForm } from './text/tools/parser.js';
import type { Prompt, Transcript } from './text/transcript.js';
import type { ChatMessage } from './types.js';

export interface PromptsSetup {
  tokenizer: TextTokenizer;
  template: ChatTemplate;
  forms: Forms;
  contextTokens: number;
}

export interface ChatPrompt {
  prompt: Prompt;
  /** The conversation that it says. */
  messages: readonly ChatMessage[];
  form: AnswerForm;
  guidance: Partial<Guidance>;
  /** Tokens that end the answer beside the model's own. */
  stopIds: readonly number[];
  /** Why less of a kept conversation could be used than one might expect; empty when there is nothing to say. */
  missReason: string;
}

/** Markers that end a message for another reason than the answer being complete. */
const endMarkers = ['<|call|>', '<|return|>', '<|eom_id|>'];

export class Prompts {
  readonly #setup: PromptsSetup;

  constructor(setup: PromptsSetup) {
    this.#setup = setup;
  }

  /** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, CONTEXT_OVERFLOW, CANCELLED, MODEL_INVALID */
  async chat(
    conversation: readonly ChatMessage[],
    options: FullChatOptions,
    before: Transcript,
    asking: FormClient,
  ): Promise<ChatPrompt> {
    const { tokenizer, template, forms } = this.#setup;
    const { tools, reasoning } = options;
    await loopTurn();
    const render = (messages: readonly ChatMessage[]) =>
      template.render(messages, { tools, thinking: reasoning.enabled });
    const quoted = quotedPrompt(conversation, before, { render, tokenizer, tools });
    const { text, rendered, answers, messages, missReason } = quoted;
    this.checkLength(text);
    const form = this.#answerForm(text, options);
    const grammar = await forms.grammar(options, form, asking);
    const prompt = await before.extend(text, tokenizer, { signal: asking.signal });
    return {
      prompt: { ...prompt, rendered, answers },
      messages,
      form,
      guidance: { grammar, ...this.#budget(options, form) },
      stopIds: this.#stopIds(),
      missReason,
    };
  }

  /**
   * Spares the work of encoding what cannot fit by any means.
   * @throws StompError CONTEXT_OVERFLOW
   */
  checkLength(text: string): void {
    const { tokenizer, contextTokens } = this.#setup;
    const least = Math.ceil(text.length / tokenizer.maxTokenBytes);
    if (least < contextTokens) return;
    throw new StompError(
      'CONTEXT_OVERFLOW',
      `The prompt has at least ${least} tokens, the context holds ${contextTokens}. Shorten the conversation.`,
      { fields: { promptTokens: least, contextTokens } },
    );
  }

  #answerForm(prompt: string, { tools, toolChoice, parallelToolCalls }: FullChatOptions): AnswerForm {
    const { tokenizer, template } = this.#setup;
    const { traits } = template;
    const isToken = (marker: string) => tokenizer.hasAdded(marker);
    const [open, close] = traits.thoughts ?? ['', ''];
    const tag = (text: string) => ({ text, token: isToken(text) });
    return {
      calls: tools.length > 0 && toolChoice !== 'none' ? traits.toolFormat : undefined,
      harmony: traits.harmony,
      names: new Set(tools.map((tool) => tool.name)),
      parameters: new Map(tools.map((tool) => [tool.name, tool.parameters])),
      parallel: parallelToolCalls && traits.parallelCalls,
      thoughts: traits.thoughts ? { open: tag(open), close: tag(close) } : undefined,
      thinking: traits.thoughts !== undefined && prompt.trimEnd().endsWith(open),
      isToken,
    };
  }

  #budget({ reasoning }: FullChatOptions, form: AnswerForm): Partial<Guidance> {
    const { tokenizer, template } = this.#setup;
    const { budgetTokens, enabled } = reasoning;
    const close = closeOfThoughts(template.traits);
    if (budgetTokens === undefined || enabled === false || close === undefined) return {};
    if (!form.harmony && !form.thoughts) return {};
    return { reasoningEnd: Int32Array.from(tokenizer.encode(close)), reasoningBudget: budgetTokens };
  }

  #stopIds(): number[] {
    const { tokenizer } = this.#setup;
    const known = endMarkers.filter((marker) => tokenizer.hasAdded(marker));
    return known.map((marker) => tokenizer.tokenId(marker)).filter((id) => id !== undefined);
  }
}

function closeOfThoughts(traits: TemplateTraits): string | undefined {
  return traits.harmony ? '<|end|>' : traits.thoughts?.[1];
}
