/**
 * What `stomp-serve context` can be told to do: each verb calls a tool. Its flags are the tool's arguments, with dashes
 * for underscores and without `_id` at the end: `agent_id` is --agent.
 */

import { contextToolShapes } from '../../context/tools/context-tools.js';
import type { ValueSchema } from '../../tools/parameters.js';
import type { Tool } from '../../tools/tool.js';
import {
  auditView,
  detailsView,
  entriesView,
  eventsView,
  fieldsView,
  projectsView,
  sessionsView,
  verifyView,
  writtenView,
} from './views.js';

/** A result as people see it. */
export type View = (result: Readonly<Record<string, unknown>>) => string;

export interface Verb {
  /** As they are typed. */
  readonly words: string;
  readonly summary: string;
  /** Flags whose values may stand by themselves: `NAME`, and `[NAME]` for one that may be left out. */
  readonly positionals: readonly Positional[];
  readonly flags: readonly Flag[];
  readonly view: View;
  /** Undefined: it is no tool, but has a file of its own. */
  readonly tool?: string;
  /** Arguments that the verb stands for. */
  readonly fixed?: Readonly<Record<string, unknown>>;
}

export interface Positional {
  readonly shown: string;
  readonly argument: string;
}

export interface Flag {
  readonly name: string;
  readonly argument: string;
  readonly schema: ValueSchema;
  /** What it sets, for flags that are short for something. */
  readonly value?: unknown;
}

type Shape = Omit<Tool, 'call'>;

const shapes = new Map<string, Shape>(contextToolShapes().map((shape) => [shape.name, shape]));

interface Choices {
  readonly summary?: string;
  readonly positionals?: readonly string[];
  readonly fixed?: Readonly<Record<string, unknown>>;
  readonly without?: readonly string[];
  readonly flags?: readonly Flag[];
}

function verb(words: string, tool: string, view: View, choices: Choices = {}): Verb {
  const { inputSchema, title } = shapes.get(tool) as Shape;
  const positionals = (choices.positionals ?? []).map(positional);
  const taken = new Set([...Object.keys(choices.fixed ?? {}), ...(choices.without ?? [])]);
  const flags = Object.entries(inputSchema.properties)
    .filter(([argument]) => !taken.has(argument))
    .map(([argument, schema]) => ({ name: flagName(argument), argument, schema }));
  return {
    words,
    tool,
    view,
    summary: choices.summary ?? title,
    positionals,
    flags: [...flags, ...(choices.flags ?? [])],
    ...(choices.fixed ? { fixed: choices.fixed } : {}),
  };
}

/** `name`, or `name?` for one that may be left out. */
function positional(text: string): Positional {
  const argument = text.replace('?', '');
  const name = flagName(argument).toUpperCase();
  return { argument, shown: text.endsWith('?') ? `[${name}]` : name };
}

/** `expected_version` as `expected-version`, `agent_id` as `agent`. */
export function flagName(argument: string): string {
  return argument.replace(/(?<=.)_id$/, '').replaceAll('_', '-');
}

const flag = (name: string, description: string): Flag => ({
  name,
  argument: name,
  schema: { type: 'boolean', description },
});
const text = (name: string, description: string): Flag => ({
  name,
  argument: name,
  schema: { type: 'string', description },
});
const onlyActive: Flag = {
  ...flag('active', 'Only those that are alive'),
  argument: 'status',
  value: 'active',
};
const content = ['root', 'progress_log_path', 'description', 'tags', 'meta'];

export const verbs: readonly Verb[] = [
  verb('sessions', 'session_list', sessionsView, { flags: [onlyActive] }),
  verb('session start', 'session_start', fieldsView),
  verb('session heartbeat', 'session_heartbeat', fieldsView, { positionals: ['session_id?'] }),
  verb('session end', 'session_end', fieldsView, { positionals: ['session_id?'] }),
  verb('projects', 'project_list', projectsView),
  verb('project create', 'project_create', fieldsView, { positionals: ['name'] }),
  verb('project show', 'get_project', detailsView, {
    summary: 'Show a project',
    positionals: ['name'],
    without: ['agent_id'],
  }),
  verb('project update', 'project_update', fieldsView, { positionals: ['name'] }),
  verb('project delete', 'project_delete', fieldsView, { positionals: ['name'] }),
  verb('project set', 'set_project', fieldsView, { positionals: ['name'] }),
  verb('project clear', 'set_project', fieldsView, {
    summary: 'Work on no project',
    fixed: { name: null },
    without: [...content, 'create'],
  }),
  verb('project current', 'get_project', fieldsView, { without: ['name'] }),
  verb('append', 'append_entry', writtenView, { positionals: ['message'], without: ['items'] }),
  verb('log', 'read_recent', entriesView, { without: ['filter'] }),
  verb('query', 'query_entries', entriesView, { positionals: ['message?'] }),
  verb('events', 'context_events', eventsView),
  verb('verify', 'context_verify', verifyView),
  verb('audit', 'context_audit', auditView, { positionals: ['project?'] }),
  {
    words: 'doctor',
    summary: 'Look for damage in the database, the logs and the state file',
    positionals: [],
    flags: [flag('repair', 'Mend what can be mended; otherwise nothing is changed')],
    view: ({ summary }) => (summary as readonly string[]).join('\n'),
  },
  {
    words: 'migrate',
    summary: 'Copy everything to another database, and compare the two',
    positionals: [],
    flags: [
      text(
        'from',
        'The database that it is in: an address, a file, or sqlite or postgres for that of the settings',
      ),
      text('to', 'The database that it goes to, in the same way'),
    ],
    view: ({ tables }) =>
      (tables as readonly { table: string; rows: number }[])
        .map(({ table, rows }) => `${table}: ${rows} rows, equal in both`)
        .join('\n'),
  },
];
