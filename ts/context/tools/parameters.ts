/** Arguments that several tools of the context take. */
import type { TextSchema } from '../../tools/parameters.js';
import { text } from '../../tools/shapes.js';

export { adds, changes, looks, removes, text, whole } from '../../tools/shapes.js';

/** Who the call is made for. */
export const who = {
  agent_id: {
    type: 'string',
    description: 'The agent it is done for. By default the one that the request names, or else Scribe',
  },
  session_id: {
    type: 'string',
    description:
      'A session of the agent, as session_start gave it. By default the one that was started over this connection; an ' +
      'agent that starts none has one without knowing',
  },
} as const;

export const agent = { agent_id: who.agent_id } as const;

export const nothing = { type: 'object', properties: {}, required: [], additionalProperties: false } as const;

export const meta = {
  type: 'object',
  description: 'Whatever else there is to say, by names of your own',
  additionalProperties: true,
} as const;

/** One value, or several. */
export function oneOrMore<const T extends TextSchema>(description: string, one: T, maxItems = 100) {
  const list = { type: 'array', description, items: one, minItems: 0, maxItems } as const;
  return { description, anyOf: [one, list] } as const;
}

export const tags = oneOrMore(
  'Short names to find it by, as a list or separated by commas',
  text('A name'),
  64,
);

/** What a project has that can be chosen. */
export const projectContent = {
  root: text(
    'Its folder, which must be there; relative paths begin at the first root. Default: the first root',
  ),
  progress_log_path: text(
    'The file for its progress, below the root unless it is absolute. Default: .stomp/NAME/PROGRESS_LOG.md',
  ),
  description: text('What it is about'),
  tags,
  meta,
} as const;
