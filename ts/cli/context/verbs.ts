/** What `stomp-serve context` can be told to do. */
import { contextToolShapes } from '../../context/tools/context-tools.js';
import {
  type Flag,
  type Shape,
  switchFlag,
  textFlag,
  type Verb,
  type VerbChoices,
  type VerbSet,
  type View,
  verbOf,
} from '../verbs/verb.js';
import {
  auditView,
  detailsView,
  entriesView,
  eventsView,
  fieldsView,
  movedView,
  projectsView,
  sessionsView,
  verifyView,
  writtenView,
} from './views.js';

const shapes = new Map<string, Shape>(contextToolShapes().map((shape) => [shape.name, shape]));

function verb(words: string, tool: string, view: View, choices?: VerbChoices): Verb {
  return verbOf(words, shapes.get(tool) as Shape, view, choices);
}

const onlyActive: Flag = {
  ...switchFlag('active', 'Only those that are alive'),
  argument: 'status',
  value: 'active',
};
const content = ['root', 'progress_log_path', 'description', 'tags', 'meta'];

const verbs: readonly Verb[] = [
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
    flags: [switchFlag('repair', 'Mend what can be mended; otherwise nothing is changed')],
    view: ({ summary }) => (summary as readonly string[]).join('\n'),
  },
  {
    words: 'migrate',
    summary:
      'Copy the context, and no runs, gates, leases, graphs or reservations, to another database, and compare the two',
    positionals: [],
    flags: [
      textFlag(
        'from',
        'The database that it is in: an address, a file, or sqlite or postgres for that of the settings',
      ),
      textFlag('to', 'The database that it goes to, in the same way'),
    ],
    view: movedView,
  },
];

/** Whether a verb only looks at what there is. */
export function onlyReads({ words, tool }: Verb, args: Readonly<Record<string, unknown>>): boolean {
  if (tool === undefined) return words === 'doctor' && args['repair'] !== true;
  return shapes.get(tool)?.hints.readOnly === true;
}

export const contextVerbs: VerbSet = {
  prefix: 'context ',
  verbs,
  about: 'Sessions, current projects and progress logs of agents.',
  exitCodes: '0 done, 1 an error or a finding, 2 wrong usage',
  settingsOf: () => 'context',
};
