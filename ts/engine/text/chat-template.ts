/**
 * A conversation as the text that a model was trained on, by the model's own template. Main thread only.
 * Templates come with models and may fail; rendering has no side effects.
 */
import type { Template } from '@huggingface/jinja';
import { StompError } from '../../errors.js';
import type { ChatMessage } from '../types.js';

/** Makes a template of its source; may throw. */
export type CompileTemplate = (source: string) => Pick<Template, 'render'>;

/** Markers that templates print, by the names they know them under. */
export type TemplateMarkers = Record<string, string>;

/** Longer ones are not templates. */
const maxTemplateChars = 1 << 20;

export class ChatTemplate {
  readonly #source: string | undefined;
  readonly #compile: CompileTemplate;
  readonly #markers: TemplateMarkers;
  #template: Pick<Template, 'render'> | undefined;

  /** @param source undefined for a model that has none; `render` then says so. */
  constructor(source: string | undefined, markers: TemplateMarkers, compile: CompileTemplate) {
    this.#source = source;
    this.#markers = markers;
    this.#compile = compile;
  }

  /**
   * @returns the prompt, ending where the assistant is to speak unless `addGenerationPrompt` is false.
   * @throws StompError INVALID_REQUEST when the model has no template or the template refuses;
   *   MODEL_INVALID when it is no template.
   */
  render(messages: readonly ChatMessage[], addGenerationPrompt = true): string {
    this.#template ??= this.#compiled();
    const context = {
      ...this.#markers,
      messages: messages.map(plainMessage),
      add_generation_prompt: addGenerationPrompt,
    };
    try {
      return this.#template.render(context);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StompError('INVALID_REQUEST', `The model's chat template refuses these messages: ${reason}`, {
        cause,
        fields: { field: 'messages' },
      });
    }
  }

  #compiled(): Pick<Template, 'render'> {
    if (this.#source === undefined) {
      throw new StompError(
        'INVALID_REQUEST',
        'This model has no chat template. Use generate() with a prompt of your own, or an instruct model.',
        { fields: { field: 'messages' } },
      );
    }
    try {
      if (this.#source.length > maxTemplateChars)
        throw new Error(`it has over ${maxTemplateChars} characters`);
      return this.#compile(this.#source);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StompError('MODEL_INVALID', `The model's chat template cannot be read: ${reason}`, { cause });
    }
  }
}

function plainMessage(message: ChatMessage): Record<string, string> {
  const { role, name } = message;
  return { role, content: messageText(message), ...(name === undefined ? {} : { name }) };
}

/** The content of a message as one text; parts stand on lines of their own. */
export function messageText(message: ChatMessage): string {
  const { content } = message;
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}
