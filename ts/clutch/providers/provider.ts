/** What a run needs of a model, wherever it runs. */
import type { Message, ToolCall, ToolSpec } from '../conversation.js';

/** One question. What comes before the messages changes rarely, so that providers can keep it cached. */
export interface ProviderRequest {
  readonly model: string;
  /** Instructions. Providers with a limit split it. */
  readonly system: string;
  /** What the run was given to read: documents and files, one text each. They do not change during a run. */
  readonly context: readonly string[];
  readonly messages: readonly Message[];
  /** None: the model answers in words alone. */
  readonly tools: readonly ToolSpec[];
  /** The one of them that the answer has to call. @default as the model likes */
  readonly mustCall?: string | undefined;
  /** 0 to 2. */
  readonly temperature: number;
  /** Longest answer. */
  readonly maxTokens: number;
  /** Who asks: where the provider keeps a cache for each agent, it is this one's. */
  readonly agentId: string;
  readonly signal: AbortSignal;
}

/** What happens until an answer is complete. */
export type ProviderEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  /** What has come so far counts no more: the request is made again after a while. */
  | { readonly type: 'retry'; readonly attempt: number; readonly waitMs: number; readonly reason: string };

/** Tokens that an answer took; `input` is all of the prompt, `cached` the part of it that was not computed anew. */
export interface ProviderUsage {
  readonly input: number;
  readonly cached: number;
  readonly output: number;
}

/** A complete answer. */
export interface ProviderAnswer {
  readonly text: string;
  /** What the model thought before it spoke; empty where the provider does not tell. */
  readonly reasoning: string;
  readonly calls: readonly ToolCall[];
  /** `calls`: it waits for results; `length`: it was cut. */
  readonly finish: 'stop' | 'calls' | 'length';
  readonly usage: ProviderUsage;
  /** See `AssistantMessage.kept`. */
  readonly kept?: unknown;
}

/** One provider with one account. Requests of several runs may run at once. */
export interface Provider {
  /** As runs name it: `engine`, `openai`, `deepseek`, `anthropic`, `gemini`, `gemini-cli`, or a name of the user's. */
  readonly name: string;
  /** The model of runs that name none. */
  readonly defaultModel: string;
  /** Whether its models can call tools of ours; others are asked without any. */
  readonly takesTools: boolean;
  /** Requests at a time; more wait. */
  readonly maxConcurrent: number;
  /** Beyond so many tokens of a request its oldest turns are left out. */
  historyTokens(request: Pick<ProviderRequest, 'model' | 'maxTokens'>): Promise<number>;
  /** Of texts and messages as this provider counts them, or a fair guess that is rather too high. */
  countTokens(request: Omit<ProviderRequest, 'signal'>): Promise<number>;
  /**
   * Asks, and tells what comes as it comes. Passing failures are tried again, as `Retry-After` says. What is beyond
   * `historyTokens` is left out.
   * @throws StompError PROVIDER_FAILED when it goes wrong for good, PROVIDER_LIMITED when the account's limit does not
   *   end soon, PROVIDER_KEY_MISSING, PROVIDER_MISSING when its client library is not installed,
   *   CANCELLED by the signal, SHUTTING_DOWN once it is being closed; from the own engine, what its turns throw
   */
  send(request: ProviderRequest, onEvent: (event: ProviderEvent) => void): Promise<ProviderAnswer>;
  /**
   * Ends what is still being asked and removes what was left with the provider, such as cached content. May be called
   * again.
   */
  close(): Promise<void>;
}
