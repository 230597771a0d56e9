/** What differs from provider to provider: one attempt at one answer, in the provider's own form. */
import type { AssistantMessage } from '../conversation.js';
import type { Provider, ProviderAnswer, ProviderRequest } from './provider.js';

/** Of an answer on its way. */
export interface AnswerSink {
  text(text: string): void;
  reasoning(text: string): void;
  /** Something came that nobody is told of: the provider is still there. */
  alive(): void;
}

/** An adapter asks once and fails once; slots, retries, the idle limit and the errors' words are for its caller. */
export interface ProviderAdapter
  extends Pick<Provider, 'defaultModel' | 'historyTokens' | 'countTokens' | 'close'> {
  /** @default true */
  readonly takesTools?: boolean;
  /**
   * @throws ProviderFailure where the adapter itself sees what is wrong, a StompError that is passed on as it is, or
   *   whatever the client library throws
   */
  ask(request: ProviderRequest, sink: AnswerSink): Promise<ProviderAnswer>;
  /** Takes secrets out of a text. */
  redact(text: string): string;
}

/** What the provider of this name wants back with a message; undefined where another one kept it. */
export function keptFor(provider: string, message: AssistantMessage): unknown {
  return message.kept?.provider === provider ? message.kept.content : undefined;
}
