/**
 * A conversation as runs keep it: plain JSON, whoever the provider is. Providers translate it into their own form, and
 * back.
 */

/** A JSON Schema, draft 2020-12, as an object. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A function that the model may ask for. */
export interface ToolSpec {
  /** `[A-Za-z0-9_-]`, 1 to 64 characters: what every provider takes. */
  readonly name: string;
  readonly description: string;
  /** Of the arguments, an object. */
  readonly parameters: JsonSchema;
}

/** A call that the model asks for. */
export interface ToolCall {
  /** Names the call in the result that answers it; unique in a run. */
  readonly id: string;
  readonly name: string;
  /** JSON text of the arguments, as the model wrote it: perhaps no JSON at all. */
  readonly arguments: string;
}

/** What a call came to, as the model is told. */
export interface ToolResult {
  /** Of the call. */
  readonly id: string;
  /** Of the tool. */
  readonly name: string;
  readonly output: string;
  /** It was refused or went wrong; `output` says why. */
  readonly failed: boolean;
  /** Where in `output` a block begins that says how files have changed; it is cut off when a newer one comes. */
  readonly refreshAt?: number;
}

/** What the model is asked. */
export interface UserMessage {
  readonly role: 'user';
  readonly text: string;
}

/** What the model has said, and the calls that it asks for. */
export interface AssistantMessage {
  readonly role: 'assistant';
  readonly text: string;
  readonly calls: readonly ToolCall[];
  /**
   * What the provider wants back word for word with this message: signed thoughts, for example. Only for the provider
   * that is named; others leave it out.
   */
  readonly kept?: { readonly provider: string; readonly content: unknown };
}

/** The results of all calls of the message before, in their order. */
export interface ToolMessage {
  readonly role: 'tool';
  readonly results: readonly ToolResult[];
}

/** One message of a conversation. */
export type Message = UserMessage | AssistantMessage | ToolMessage;
