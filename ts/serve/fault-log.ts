/** What the log says of a failure. Pure. */
import { StompError } from '../errors.js';

/**
 * Fields for a line that a person reads at any level: no text that others wrote. The message of a foreign error may
 * quote what it failed on, a prompt or the arguments of a tool; where it was thrown and what lay below is told.
 */
export function faultFields(caught: unknown): { readonly err: object } {
  return { err: describe(caught) };
}

/** All of it, for lines of the level `debug`. */
export function faultDetail(caught: unknown): { readonly detail: string } {
  return { detail: caught instanceof Error ? `${caught.name}: ${caught.message}` : String(caught) };
}

function describe(caught: unknown): object {
  if (!(caught instanceof Error)) return { type: typeof caught };
  const code: unknown = (caught as { code?: unknown }).code;
  return {
    type: caught.name,
    ...(isOurs(caught) ? { message: caught.message } : {}),
    ...(typeof code === 'string' ? { code } : {}),
    stack: frames(caught),
    ...(caught.cause === undefined ? {} : { cause: describe(caught.cause) }),
  };
}

/** GENERATION_FAILED with a cause is a foreign error that goes by our name. */
function isOurs(error: Error): boolean {
  return error instanceof StompError && !(error.code === 'GENERATION_FAILED' && error.cause !== undefined);
}

/** The lines below the message. */
function frames({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .join('\n');
}
