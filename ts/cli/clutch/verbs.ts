/** The commands that are about runs. */
import type { ClutchCommand } from '../../config/index.js';
import { whole } from '../../tools/shapes.js';
import { type Flag, switchFlag, textFlag, type Verb, type VerbSet } from '../verbs/verb.js';

const tokenFlag = textFlag(
  'approver-token-file',
  'File with the approver token. Default: STOMP_APPROVER_TOKEN, or the file of the server that runs',
);
const edits = (name: string, description: string): Flag => ({
  name,
  argument: name,
  schema: { type: 'object', description, additionalProperties: true },
});
const revisionFlag: Flag = {
  name: 'revision',
  argument: 'revision',
  schema: whole(
    'The revision that was seen: refused when it shows something else by now. Default: the current one',
    1,
  ),
};
const positional = (argument: string) => ({ argument, shown: argument.toUpperCase() });

/** What stands by itself can be given as an option, too. */
const meanings: Readonly<Record<string, string>> = {
  task: 'What is to be done, in words, where TASK is not given by itself',
  id: 'Of the approval, as "stomp-serve approvals" shows it, where ID is not given by itself',
  folder: 'Of one session, below the --audit-dir of its server, where FOLDER is not given by itself',
};

function verb(words: string, summary: string, argument: string | undefined, flags: readonly Flag[]): Verb {
  const own = argument === undefined ? [] : [textFlag(argument, meanings[argument] ?? argument)];
  return {
    words,
    summary,
    positionals: argument === undefined ? [] : [positional(argument)],
    flags: [...own, ...flags],
    view: (result) => JSON.stringify(result, undefined, 2),
  };
}

const verbs: readonly Verb[] = [
  verb('run', 'Give a task to a model that works on it with tools, and decide what it asks', 'task', [
    {
      name: 'gate',
      argument: 'gate',
      schema: { type: 'string', enum: ['all', 'step', 'none'], description: 'What waits for you' },
    },
    textFlag('provider', "Who answers. Default: the server's"),
    textFlag('model', "Default: the provider's"),
    textFlag('first-tool', 'The tool that the model has to call first. Default: as the model likes'),
    {
      name: 'max-tokens',
      argument: 'max-tokens',
      schema: whole('The longest of its answers; small models go on and on. Default: 8192', 1),
    },
    textFlag('base-dir', 'The folder to work in. Default: the current one'),
    {
      name: 'file',
      argument: 'file',
      schema: {
        type: 'array',
        description: 'Files that the model is given',
        items: { type: 'string', description: 'A path' },
        minItems: 0,
        maxItems: 1000,
      },
    },
    switchFlag('detach', 'Say its id, and leave it to itself'),
    tokenFlag,
  ]),
  verb('approvals', 'See what of runs waits for you', undefined, [
    switchFlag('all', 'What was decided, too'),
    tokenFlag,
  ]),
  verb('approve', 'Let it happen, as it is or edited', 'id', [
    edits('edit', 'Fields that are to be others'),
    edits('edit-file', 'The same, from files'),
    switchFlag('remember', 'Do not ask again for this tool in the folder of this run'),
    revisionFlag,
    tokenFlag,
  ]),
  verb('reject', 'Refuse it', 'id', [textFlag('reason', 'What the model is told'), revisionFlag, tokenFlag]),
  verb('audit verify', 'Check whether what was written down of a session is whole', 'folder', []),
];

export const clutchVerbs: VerbSet = {
  prefix: '',
  verbs,
  about: '',
  exitCodes: '0 done, 1 an error or a run that failed, 2 misused, 3 a run that was stopped before its end',
  settingsOf: ({ words }) => words.split(' ')[0] as ClutchCommand,
};
