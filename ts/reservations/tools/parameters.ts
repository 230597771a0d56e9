/** Arguments that several tools of reservations take. */
import { StompError } from '../../errors.js';
import type { ListSchema, TextSchema } from '../../tools/parameters.js';
import { text, whole } from '../../tools/shapes.js';
import type { AnyCaller } from '../../tools/tool.js';
import { maxAddresses } from '../records/fields.js';
import { operations } from '../types.js';

export { adds, changes, looks, text, whole } from '../../tools/shapes.js';

export function list<const T extends TextSchema>(description: string, items: T, maxItems: number) {
  return { type: 'array', description, items, minItems: 1, maxItems } as const satisfies ListSchema;
}

export const runId = text('Who it is done for: a name for this run of the agent. Default: X-Agent-ID');

export const who = {
  run_id: runId,
  branch: text('The branch that the agent works on. Default: the one that is checked out'),
} as const;

export const addresses = list(
  'Symbols as PATH::NAME with the qualified name, such as src/user.py::User.save, or a path for a whole file; paths ' +
    'begin at the root of the repository',
  text('An address'),
  maxAddresses,
);

export const operation = {
  type: 'string',
  description: 'What will be done with them',
  enum: operations,
} as const;

export const ttl = whole('How long it holds, in seconds. Default: 3600', 1, 30 * 24 * 3600);

export const reservationId = text('The reservation, as reserve gave it');

/** @throws StompError INVALID_REQUEST: those who do not say who they are would all be the same */
export function runIdOf(args: { readonly run_id?: string }, caller: AnyCaller): string {
  const runId = args.run_id ?? namedBy(caller);
  if (runId !== undefined) return runId;
  const message = '"run_id" is missing: say for which agent it is done, there or with the header X-Agent-ID.';
  throw new StompError('INVALID_REQUEST', message, { fields: { field: 'run_id', allowed: 'a name' } });
}

/** A name that was made up for a request tells nobody apart. */
export function namedBy(caller: AnyCaller): string | undefined {
  return caller?.agentId === undefined ? undefined : (caller.said ?? caller).agentId;
}
