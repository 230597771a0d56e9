/** What a run tells its model before the conversation: the same words from the first round to the last. Pure. */
import type { TrackedFile } from '../refresh.js';
import type { RunRequest } from './run.js';

/** Rounds of tool calls in a run. */
export const maxRounds = 10;

export function systemText({ baseDir, gate, role }: RunRequest): string {
  const held =
    gate === 'none'
      ? 'Your calls are carried out at once.'
      : 'A person looks at what you would change before it happens, and may edit or reject it; a rejected call tells you why.';
  return [
    ...(role === undefined ? [] : [`You are a ${role}.`]),
    `You work on a task with tools. Your base directory is ${baseDir}; relative paths begin there.`,
    held,
    `You have ${maxRounds} rounds of tool calls; calls that do not depend on each other belong into one round.`,
    'Where files that you were given change, the last result of a round says so below [SYSTEM: FILES UPDATED].',
    'When the task is done, say briefly what you did.',
  ].join('\n');
}

/** Documents, files and a discussion, one text each. */
export function contextTexts(
  { stableMd, discText }: RunRequest,
  files: readonly Pick<TrackedFile, 'path' | 'given'>[],
): string[] {
  return [
    ...(stableMd === '' ? [] : [stableMd]),
    ...files.map(fileText),
    ...(discText === '' ? [] : [`# The discussion so far\n\n${discText}`]),
  ];
}

function fileText({ path, given }: Pick<TrackedFile, 'path' | 'given'>): string {
  if (given.state === 'absent') return `# ${path}\n\n(There is no such file yet.)`;
  if (given.state === 'unreadable') return `# ${path}\n\n(It is no text of at most 1 MiB that can be shown.)`;
  const fence = fenceFor(given.text);
  return `# ${path}\n\n${fence}\n${given.text}${given.text.endsWith('\n') ? '' : '\n'}${fence}`;
}

/** Longer than any in the text. */
function fenceFor(text: string): string {
  const longest = (text.match(/`{3,}/g) ?? []).reduce((most, one) => Math.max(most, one.length), 2);
  return '`'.repeat(longest + 1);
}

/** On the last result of the last round. */
export const lastRoundNote = `\n\n[SYSTEM: all ${maxRounds} rounds of tool calls are used. Answer in words now; further calls are not carried out.]`;

/** The last words of a run whose model asked for tools to the end and said nothing. */
export const stoppedText = `Stopped after ${maxRounds} rounds of tool calls.`;
