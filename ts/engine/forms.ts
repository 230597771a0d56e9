/** Grammars of answers that must have a form, as the core takes them: JSON, calls of tools, thoughts before both. */
import type { FullChatOptions } from './chat-options.js';
import type { Grammar } from './grammar/ir.js';
import { answerGrammar, type FormVocabulary } from './text/tools/answer-grammar.js';
import type { AnswerForm } from './text/tools/parser.js';

/** Grammars kept. */
const maxKept = 64;

export class Forms {
  readonly #vocabulary: FormVocabulary;
  /** By what was asked; the least recently used first. */
  readonly #known = new Map<string, string>();

  constructor(vocabulary: FormVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /**
   * @returns the grammar as JSON text, the same text for the same request; empty when any answer will do.
   * @throws StompError UNSUPPORTED_FIELD, INVALID_REQUEST for schemas that cannot be enforced.
   */
  grammar(options: FullChatOptions, form: AnswerForm): string {
    if (!asksForForm(options)) return '';
    const { tools, toolChoice, responseFormat, reasoning } = options;
    const { parallel, thinking } = form;
    const key = JSON.stringify([tools, toolChoice, responseFormat, reasoning.enabled, parallel, thinking]);
    const known = this.#known.get(key) ?? text(answerGrammar(options, form, this.#vocabulary));
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size > maxKept) this.#known.delete(this.#known.keys().next().value ?? '');
    return known;
  }
}

function asksForForm({ tools, toolChoice, responseFormat }: FullChatOptions): boolean {
  const forced = toolChoice === 'required' || typeof toolChoice === 'object';
  const held = toolChoice === 'auto' && tools.some((tool) => tool.strict);
  return responseFormat !== undefined || forced || held;
}

function text(grammar: Grammar): string {
  return JSON.stringify(grammar);
}
