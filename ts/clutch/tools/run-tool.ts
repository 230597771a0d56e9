/** What a tool of a run is: it says what it would do before anything is done, and does exactly that. */
import type { ToolSpec } from '../conversation.js';
import type { PathRules } from '../paths.js';

/** For whom a tool works, and where. */
export interface ToolScope {
  readonly runId: string;
  readonly agentId: string;
  readonly sessionId: string;
  /** Canonical; relative paths start here. */
  readonly baseDir: string;
  /** Which files and folders the run may touch. */
  readonly paths: PathRules;
  /** Names the call that is being carried out, the same after a crash. */
  readonly callKey?: string | undefined;
  readonly signal: AbortSignal;
}

/** What a person is shown, and may change, before a call is made. Plain JSON; what runs is exactly this. */
export type Payload = Readonly<Record<string, unknown>>;

/** What a call came to. */
export interface Outcome {
  /** For the model. */
  readonly output: string;
  /** It did not do what it was asked for; `output` says why. */
  readonly failed: boolean;
}

/** What a person is shown besides the payload; not editable. */
export interface Preview {
  /** One line: what would happen. */
  readonly title: string;
  /** A unified diff of what would change, where there is one. */
  readonly diff?: string;
}

export interface RunTool extends ToolSpec {
  /**
   * `read`: looks only, and is repeated freely. `write`: changes something, and is done once. `ask`: a question to the
   * person at the gate; no effect.
   */
  readonly kind: 'read' | 'write' | 'ask';
  /** A change that comes to the same when it is made twice: after a crash it is simply made again. @default false */
  readonly repeatable?: boolean | undefined;
  /**
   * Reads arguments that the model has written into a payload: paths resolved, defaults filled in.
   * @throws StompError INVALID_REQUEST, PATH_DENIED: told to the model
   */
  prepare(args: unknown, scope: ToolScope): Promise<Payload>;
  /**
   * The payload with what a person has changed of it.
   * @param edits the changed fields
   * @throws as `prepare`: told to the person
   */
  edit(payload: Payload, edits: Payload, scope: ToolScope): Promise<Payload>;
  /** Canonical paths that a call is about, for decisions that are to count for a folder. @default the base directory */
  touches?(payload: Payload): readonly string[];
  /** For the gate; called again after an edit. @throws as `prepare` */
  preview(payload: Payload, scope: ToolScope): Promise<Preview>;
  /**
   * Does what the payload says. Failures that the model should know of are outcomes, not errors.
   * @throws StompError CANCELLED by the signal
   */
  run(payload: Payload, scope: ToolScope): Promise<Outcome>;
}

/** What clears up after runs: processes, connections. */
export interface ToolSource {
  readonly tools: readonly RunTool[];
  close(): Promise<void>;
}
