/** What the tools of all systems say of themselves and of their arguments. */
import type { NumberSchema, TextSchema } from './parameters.js';
import type { ToolHints } from './tool.js';

export const looks = { readOnly: true, destructive: false, idempotent: true } as const satisfies ToolHints;
export const changes = { readOnly: false, destructive: false, idempotent: true } as const satisfies ToolHints;
export const adds = { readOnly: false, destructive: false, idempotent: false } as const satisfies ToolHints;
export const removes = { readOnly: false, destructive: true, idempotent: true } as const satisfies ToolHints;

export function text(description: string): TextSchema {
  return { type: 'string', description };
}

export function whole(
  description: string,
  minimum: number,
  maximum: number = Number.MAX_SAFE_INTEGER,
): NumberSchema {
  return { type: 'integer', description, minimum, maximum };
}
