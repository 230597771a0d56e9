/** What a tool of the guard is, whoever offers it: MCP or HTTP. */

import { StompError } from '../../errors.js';
import type { DocgenGuard } from '../docgen.js';
import type { FileGuard } from '../files.js';
import type { Maasl } from '../maasl.js';
import { type ArgumentsOf, type ObjectSchema, readArguments, snakeCase } from './parameters.js';
import type { SessionLeases } from './session-leases.js';

/** For whom a tool works. */
export interface Caller {
  readonly agentId: string;
  readonly sessionId: string;
  /** Takes a request for a lock back out of the queue. */
  readonly signal?: AbortSignal;
  /** Is told of the leases that are taken, renewed and given back. */
  readonly leases?: SessionLeases;
}

/** What clients are told of a tool's ways. */
export interface ToolHints {
  /** Changes nothing. */
  readonly readOnly: boolean;
  /** May do away with what was there. */
  readonly destructive: boolean;
  /** To call it twice is to call it once. */
  readonly idempotent: boolean;
}

/** One tool, as clients see it and as it is called. */
export interface GuardTool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: ObjectSchema;
  readonly hints: ToolHints;
  /**
   * Does it.
   * @throws StompError, and whatever goes wrong unforeseen
   */
  call(args: unknown, caller: Caller | undefined): Promise<object>;
}

/** What the tools work with. */
export interface ToolContext {
  readonly maasl: Maasl;
  readonly files: FileGuard;
  readonly docgen?: Pick<DocgenGuard, 'status'> | undefined;
}

interface Definition<S extends ObjectSchema> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: S;
  readonly hints: ToolHints;
}

/** A tool that only looks: nobody needs to say who they are. */
export function lookingTool<const S extends ObjectSchema>(
  definition: Definition<S> & { run(args: ArgumentsOf<S>): Promise<object> },
): GuardTool {
  const { run, ...rest } = definition;
  return { ...rest, call: async (args) => run(readArguments(rest.inputSchema, args)) };
}

/** A tool that acquires or changes something, for somebody. */
export function actingTool<const S extends ObjectSchema>(
  definition: Definition<S> & { run(args: ArgumentsOf<S>, caller: Caller): Promise<object> },
): GuardTool {
  const { run, ...rest } = definition;
  return {
    ...rest,
    call: async (args, caller) => {
      if (!caller) throw nobody();
      try {
        return await run(readArguments(rest.inputSchema, args), caller);
      } catch (error) {
        throw withWireName(error, rest.inputSchema);
      }
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

/** The guard names its options in camel case. */
function withWireName(error: unknown, { properties }: ObjectSchema): unknown {
  const field = error instanceof StompError ? error.fields.field : undefined;
  if (typeof field !== 'string' || !(error instanceof StompError)) return error;
  const name = snakeCase(field);
  if (name === field || !Object.hasOwn(properties, name)) return error;
  return new StompError(error.code, error.message, {
    fields: { ...error.fields, field: name },
    cause: error,
  });
}
