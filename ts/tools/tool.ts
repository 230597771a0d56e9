/** What a tool is, whoever offers it: MCP or HTTP. */
import { StompError } from '../errors.js';
import type { Connection } from './connection.js';
import { type ArgumentsOf, type ObjectSchema, readArguments, snakeCase } from './parameters.js';

/** Who asks, as far as a request says it. */
export interface CallerNames {
  readonly agentId: string | undefined;
  readonly sessionId: string | undefined;
}

/** For whom something was done. */
export interface Actor {
  readonly agentId: string;
  readonly sessionId?: string;
}

/** What a person is asked. */
export interface Question {
  /** All that there is to know, as text. */
  readonly message: string;
  /** What is to be answered in words; without it, yes or no is all. */
  readonly field?: string | undefined;
  /** Those that the answer is one of. @default any words */
  readonly choices?: readonly string[] | undefined;
}

/** What a person answers; `cancel`: nothing. */
export interface Answer {
  readonly action: 'accept' | 'decline' | 'cancel';
  /** Where words were asked for. */
  readonly text?: string | undefined;
}

/** Somebody who can be asked through a client. */
export interface Person {
  /** What the client calls itself. */
  readonly client: string;
  /** @throws what the signal gives as its reason, and what the client has against it */
  ask(question: Question, signal: AbortSignal): Promise<Answer>;
}

/** What comes with a call. */
export interface Call {
  /** The person behind the client, where the client lets ask. */
  readonly person?: Person | undefined;
  /** Takes a request that waits back out of the queue. */
  readonly signal?: AbortSignal;
  /** Of the client, where there is one that lasts longer than the call. */
  readonly connection?: Connection;
  /** Is told for whom a tool has worked that resolves names by rules of its own. */
  onActor?(actor: Actor): void;
}

/** For whom a tool works. */
export interface Caller extends Call {
  readonly agentId: string;
  readonly sessionId: string;
  /** What the request itself says, where the names above were made up to complete it. @default they were not */
  readonly said?: CallerNames;
}

/** Somebody who has not said who it is. */
export interface Anonymous extends Call {
  readonly agentId?: undefined;
}

/** Whoever calls. */
export type AnyCaller = Caller | Anonymous | undefined;

/** What clients are told of a tool's ways. */
export interface ToolHints {
  /** Changes nothing. */
  readonly readOnly: boolean;
  /** May do away with what was there. */
  readonly destructive: boolean;
  /** To call it twice is to call it once. */
  readonly idempotent: boolean;
}

/** What servers make of a tool, beside what clients see. */
export interface ToolWays {
  /** It may wait for others for hours: a server that shuts down does not wait for it. @default false */
  readonly waits?: boolean;
  /** Whose keys it takes where a server asks for keys. @default everybody's */
  readonly role?: 'admin';
}

/** One tool, as clients see it and as it is called. */
export interface Tool extends ToolWays {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: ObjectSchema;
  readonly hints: ToolHints;
  /**
   * Does it.
   * @throws StompError, and whatever goes wrong unforeseen
   */
  call(args: unknown, caller: AnyCaller): Promise<object>;
}

/** A tool but for what it does. */
export interface ToolDefinition<S extends ObjectSchema> extends ToolWays {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: S;
  readonly hints: ToolHints;
}

/** A tool that works for anybody, also for those who do not say who they are. */
export function openTool<const S extends ObjectSchema>(
  definition: ToolDefinition<S> & { run(args: ArgumentsOf<S>, caller: AnyCaller): Promise<object> },
): Tool {
  const { run, ...rest } = definition;
  return {
    ...rest,
    call: async (args, caller) => {
      try {
        return await run(readArguments(rest.inputSchema, args), caller);
      } catch (error) {
        throw withWireName(error, rest.inputSchema);
      }
    },
  };
}

/** A tool that only looks: nobody needs to say who they are. */
export function lookingTool<const S extends ObjectSchema>(
  definition: ToolDefinition<S> & { run(args: ArgumentsOf<S>): Promise<object> },
): Tool {
  return openTool(definition);
}

/** A tool that acquires or changes something, for somebody. */
export function actingTool<const S extends ObjectSchema>(
  definition: ToolDefinition<S> & { run(args: ArgumentsOf<S>, caller: Caller): Promise<object> },
): Tool {
  const { call, ...rest } = openTool({
    ...definition,
    run: (args, caller) => definition.run(args, caller as Caller),
  });
  return {
    ...rest,
    call: async (args, caller) => {
      if (caller?.agentId === undefined) throw nobody();
      return call(args, caller);
    },
  };
}

function nobody(): StompError {
  return new StompError(
    'INVALID_REQUEST',
    'Say who you are: send the header X-Agent-ID, X-Session-ID, or both.',
    { fields: { field: 'X-Agent-ID', allowed: 'X-Agent-ID, X-Session-ID' } },
  );
}

/** The error, with the name of a field as it was sent: libraries name their options in camel case. */
export function withWireName(error: unknown, { properties }: ObjectSchema): unknown {
  const field = error instanceof StompError ? error.fields.field : undefined;
  if (typeof field !== 'string' || !(error instanceof StompError)) return error;
  const name = snakeCase(field);
  if (name === field || !Object.hasOwn(properties, name)) return error;
  return new StompError(error.code, error.message, {
    fields: { ...error.fields, field: name },
    cause: error,
  });
}
