/**
 * What a command can be told to do: each verb calls a tool. Its flags are the tool's arguments, with dashes for
 * underscores and without `_id` at the end: `agent_id` is --agent.
 */
import type { Command } from '../../config/index.js';
import type { ValueSchema } from '../../tools/parameters.js';
import type { Tool } from '../../tools/tool.js';

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
  /** Takes all that is left; it is last. */
  readonly isList?: boolean;
}

export interface Flag {
  readonly name: string;
  /** Other names for it. */
  readonly also?: readonly string[];
  readonly argument: string;
  readonly schema: ValueSchema;
  /** What it sets, for flags that are short for something. */
  readonly value?: unknown;
}

/** All verbs of one command, or commands that are verbs themselves. */
export interface VerbSet {
  /** What stands before a verb: `context `; empty when the verbs are commands. */
  readonly prefix: string;
  readonly verbs: readonly Verb[];
  /** What stands above and below the list of verbs in the help. */
  readonly about: string;
  readonly exitCodes: string;
  /** Told with each verb, above the exit codes. */
  readonly notes?: readonly string[];
  /** Whose settings a verb takes. */
  settingsOf(verb: Verb): Command;
}

/** What a tool takes and is called. */
export type Shape = Omit<Tool, 'call'>;

export interface VerbChoices {
  readonly summary?: string;
  /** `name`, `name?` for one that may be left out, `names…` or `names…?` for all that follow. */
  readonly positionals?: readonly string[];
  readonly fixed?: Readonly<Record<string, unknown>>;
  readonly without?: readonly string[];
  readonly flags?: readonly Flag[];
}

/** A verb that calls the tool. */
export function verbOf(words: string, shape: Shape, view: View, choices: VerbChoices = {}): Verb {
  const taken = new Set([...Object.keys(choices.fixed ?? {}), ...(choices.without ?? [])]);
  const flags = Object.entries(shape.inputSchema.properties)
    .filter(([argument]) => !taken.has(argument))
    .map(([argument, schema]) => ({ name: flagName(argument), argument, schema }));
  return {
    words,
    tool: shape.name,
    view,
    summary: choices.summary ?? shape.title,
    positionals: (choices.positionals ?? []).map(positional),
    flags: [...flags, ...(choices.flags ?? [])],
    ...(choices.fixed ? { fixed: choices.fixed } : {}),
  };
}

function positional(text: string): Positional {
  const argument = text.replace(/[…?]/g, '');
  const isList = text.includes('…');
  const name = flagName(argument).toUpperCase();
  const shown = isList ? `${name.replace(/E?S$/, '')}…` : name;
  return { argument, shown: text.endsWith('?') ? `[${shown}]` : shown, ...(isList ? { isList } : {}) };
}

/** `expected_version` as `expected-version`, `agent_id` as `agent`. */
export function flagName(argument: string): string {
  return argument.replace(/(?<=.)_id$/, '').replaceAll('_', '-');
}

/** A flag that is no argument of the tool. */
export const switchFlag = (name: string, description: string): Flag => ({
  name,
  argument: name,
  schema: { type: 'boolean', description },
});

/** The same with a value. */
export const textFlag = (name: string, description: string): Flag => ({
  name,
  argument: name,
  schema: { type: 'string', description },
});
