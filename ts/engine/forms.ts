/** Grammars of answers that must have a form, as the core takes them: JSON, calls of tools, thoughts before both. */
import type { FullChatOptions } from './chat-options.js';
import { FormThread } from './form-thread.js';
import { checkJson } from './grammar/schema/document.js';
import { Work } from './grammar/work.js';
import { answerGrammar, type FormRequest } from './text/tools/answer-grammar.js';
import type { AddedToken, FormVocabulary } from './text/tools/form-vocabulary.js';
import type { AnswerForm } from './text/tools/parser.js';

/** Grammars kept, and the characters that they and what they are known by may have together. */
const maxKept = 64;
const maxKeptCharacters = 32_000_000;
/** What is compiled at once because handing it over would take as long: few steps and not much to read. */
const maxOwnSteps = 2000;
const maxOwnCharacters = 16_384;

export interface FormsVocabulary extends FormVocabulary {
  readonly addedTokens: readonly AddedToken[];
}

/** Who asks for a form. */
export interface FormClient {
  /** Takes turns with the others. */
  client: string;
  signal?: AbortSignal | undefined;
}

export class Forms {
  readonly #vocabulary: FormsVocabulary;
  #thread: FormThread | undefined;
  /** By what was asked; the least recently used first. */
  readonly #known = new Map<string, string>();
  #characters = 0;

  constructor(vocabulary: FormsVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /**
   * @returns the grammar as JSON text, the same text for the same request; empty when any answer will do.
   * @throws StompError UNSUPPORTED_FIELD, INVALID_REQUEST for schemas that cannot be enforced; CANCELLED,
   *   SHUTTING_DOWN
   */
  async grammar(options: FullChatOptions, form: AnswerForm, { client, signal }: FormClient): Promise<string> {
    if (!asksForForm(options)) return '';
    checkSchemas(options);
    const request = formRequest(options, form);
    const key = JSON.stringify(request);
    const known = this.#known.get(key) ?? (await this.#compile(request, key, { client, signal }));
    this.#keep(key, known);
    return known;
  }

  /** All that waits fails with SHUTTING_DOWN. */
  async close(): Promise<void> {
    await this.#openThread().close();
  }

  async #compile(request: FormRequest, key: string, { client, signal }: FormClient): Promise<string> {
    const own = key.length <= maxOwnCharacters ? this.#compileHere(request) : undefined;
    return own ?? (await this.#openThread().compile(key, client, signal));
  }

  /** Undefined when it takes more than a moment. */
  #compileHere(request: FormRequest): string | undefined {
    try {
      const work = new Work(maxOwnSteps, () => new TakesLonger());
      return JSON.stringify(answerGrammar(request, this.#vocabulary, work));
    } catch (error) {
      if (error instanceof TakesLonger) return undefined;
      throw error;
    }
  }

  #openThread(): FormThread {
    this.#thread ??= new FormThread(this.#vocabulary.addedTokens);
    return this.#thread;
  }

  #keep(key: string, grammar: string): void {
    if (this.#known.delete(key)) this.#characters -= key.length + grammar.length;
    this.#known.set(key, grammar);
    this.#characters += key.length + grammar.length;
    for (const [oldest, old] of this.#known) {
      if (this.#known.size <= maxKept && this.#characters <= maxKeptCharacters) break;
      this.#known.delete(oldest);
      this.#characters -= oldest.length + old.length;
    }
  }
}

/** More work than is done at once. No refusal: it goes on elsewhere. */
class TakesLonger extends Error {}

function asksForForm({ tools, toolChoice, responseFormat }: FullChatOptions): boolean {
  const forced = toolChoice === 'required' || typeof toolChoice === 'object';
  const held = toolChoice === 'auto' && tools.some((tool) => tool.strict);
  return responseFormat !== undefined || forced || held;
}

/** What is no JSON would not be the same on another thread. @throws StompError INVALID_REQUEST */
function checkSchemas({ tools, responseFormat }: FullChatOptions): void {
  if (responseFormat?.type === 'json_schema') checkJson(responseFormat.schema, 'responseFormat.schema');
  for (const { name, parameters } of tools) {
    if (parameters !== undefined) checkJson(parameters, `tools.${name}.parameters`);
  }
}

function formRequest(
  { tools, toolChoice, responseFormat, reasoning }: FullChatOptions,
  { calls, harmony = false, parallel, thoughts, thinking }: AnswerForm,
): FormRequest {
  return {
    tools,
    toolChoice,
    responseFormat,
    reasoning: { enabled: reasoning.enabled },
    form: { calls, harmony, parallel, thoughts, thinking },
  };
}
