/** The commands that are about symbols: each calls a tool. */
import type { ReservationCommand } from '../../config/index.js';
import { reservationToolShapes } from '../../reservations/tools/reservation-tools.js';
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
  archivedView,
  forecastView,
  freeView,
  impactView,
  intentView,
  listView,
  mergeView,
  reconcileView,
  releasedView,
  renewedView,
  reservedView,
  shardView,
} from './views.js';

const shapes = new Map<string, Shape>(reservationToolShapes().map((shape) => [shape.name, shape]));

/** Names of flags that are not those of their arguments, and others for them. */
const names: Readonly<Record<string, readonly [name: string, ...also: string[]]>> = {
  run_id: ['run-id', 'agent'],
  operation: ['operation', 'op'],
  ttl_seconds: ['ttl-seconds', 'ttl'],
  timeout_seconds: ['timeout-seconds', 'timeout'],
  older_than_seconds: ['older-than-seconds', 'older-than'],
};

function verb(words: ReservationCommand, tool: string, view: View, choices?: VerbChoices): Verb {
  const made = verbOf(words, shapes.get(tool) as Shape, view, choices);
  return { ...made, flags: made.flags.map(named) };
}

function named(flag: Flag): Flag {
  const [name = flag.name, ...also] = names[flag.argument] ?? [];
  // What a request says with a header, a command line says with the environment.
  const description = flag.schema.description?.replace('X-Agent-ID', 'STOMP_AGENT_ID') ?? '';
  return { ...flag, name, also, schema: { ...flag.schema, description } };
}

const verbs: readonly Verb[] = [
  verb('reserve', 'reserve_symbols', reservedView, { positionals: ['addresses…'], without: ['addresses'] }),
  verb('intent', 'declare_intent', intentView, { positionals: ['addresses…?'], without: ['addresses'] }),
  verb('release', 'release_reservation', releasedView, {
    positionals: ['reservation_id'],
    without: ['reservation_id'],
  }),
  verb('renew', 'renew_reservation', renewedView, {
    positionals: ['reservation_id'],
    without: ['reservation_id'],
  }),
  verb('list', 'list_reservations', listView),
  verb('await', 'await_symbols', freeView, { positionals: ['addresses…'], without: ['addresses'] }),
  verb('forecast', 'forecast_conflicts', forecastView),
  verb('impact', 'symbol_impact', impactView, { positionals: ['addresses…'], without: ['addresses'] }),
  verb('shard', 'shard_repository', shardView, { positionals: ['count'] }),
  verb('plan-merge', 'plan_merge', mergeView, {
    positionals: ['ours', 'theirs'],
    flags: [
      textFlag('out', 'Write the merged files into this new folder, apart from the repository'),
      switchFlag('with-markers', 'Write files in conflict, too, with markers'),
    ],
  }),
  verb('reconcile', 'reconcile_branches', reconcileView, {
    positionals: ['branches…?'],
    without: ['branches'],
  }),
  verb('gc', 'archive_reservations', archivedView),
];

export const reservationVerbs: VerbSet = {
  prefix: '',
  verbs,
  about: '',
  notes: [
    'An address is PATH::NAME with the qualified name, such as src/user.py::User.save, or a path for a whole file; paths begin at',
    'the root of the repository.',
  ],
  exitCodes:
    '0 done, 1 an error, 2 no git repository, 3 somebody else has it (--if-free, await), 130 interrupted',
  settingsOf: ({ words }) => words as ReservationCommand,
};
