/** How a built-in tool is written: what it takes as one schema, and what it does with arguments that fit it. */
import { StompError } from '../../errors.js';
import { type ArgumentsOf, type ObjectSchema, readArguments } from '../../tools/parameters.js';
import type { Outcome, Payload, Preview, RunTool, ToolScope } from './run-tool.js';

/** A tool but for the reading of its arguments. Its payload is its arguments, complete. */
export interface RunToolDefinition<S extends ObjectSchema> {
  readonly name: string;
  readonly description: string;
  readonly parameters: S;
  readonly kind: RunTool['kind'];
  /** Resolves paths and fills in what was left out; of complete arguments it changes nothing. @default as they are */
  complete?(args: ArgumentsOf<S>, scope: ToolScope): Promise<ArgumentsOf<S>>;
  /** Fields that were filled in for what is edited now, and are filled in anew. @default none */
  outdated?(edits: Payload): readonly string[];
  /** See `RunTool`. */
  touches?(args: ArgumentsOf<S>): readonly string[];
  preview(args: ArgumentsOf<S>, scope: ToolScope): Promise<Preview>;
  /** Throws StompErrors, which become failed outcomes. A text is what it came to when it went well. */
  run(args: ArgumentsOf<S>, scope: ToolScope): Promise<Outcome | string>;
}

export function defineTool<const S extends ObjectSchema>(definition: RunToolDefinition<S>): RunTool {
  const { name, description, parameters, kind, touches } = definition;
  const prepare = async (args: unknown, scope: ToolScope): Promise<Payload> => {
    const read = readArguments(parameters, args);
    return definition.complete ? definition.complete(read, scope) : read;
  };
  return {
    name,
    description,
    parameters: { ...(parameters as ObjectSchema) },
    kind,
    ...(touches ? { touches: (payload: Payload) => touches(payload as ArgumentsOf<S>) } : {}),
    prepare,
    edit: (payload, edits, scope) => {
      const outdated = definition.outdated?.(edits) ?? [];
      const kept = Object.entries(payload).filter(([field]) => !outdated.includes(field));
      return prepare({ ...Object.fromEntries(kept), ...edits }, scope);
    },
    preview: (payload, scope) => definition.preview(payload as ArgumentsOf<S>, scope),
    run: (payload, scope) => outcomeOf(() => definition.run(payload as ArgumentsOf<S>, scope), scope),
  };
}

/** @throws StompError CANCELLED by the signal, and what is no StompError */
export async function outcomeOf(
  work: () => Promise<Outcome | string>,
  { signal }: Pick<ToolScope, 'signal'>,
): Promise<Outcome> {
  if (signal.aborted) throw cancelled();
  try {
    const done = await work();
    return typeof done === 'string' ? { output: done, failed: false } : done;
  } catch (error) {
    if (signal.aborted) throw cancelled(error);
    if (!(error instanceof StompError)) throw error;
    return { output: `${error.code}: ${error.message}`, failed: true };
  }
}

function cancelled(cause?: unknown): StompError {
  return new StompError('CANCELLED', 'The run was aborted while the tool was at work.', { cause });
}
