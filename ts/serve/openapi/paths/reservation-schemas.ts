/** What the routes of reservations answer. */
import { conflictTypes, operations } from '../../../reservations/index.js';
import { mergeConflictKinds } from '../../../reservations/merge/types.js';
import { choice, flag, integer, list, nullable, number, object, ref, type Schema, text } from '../shapes.js';

const address = text('`PATH::NAME`, or a path for the whole file');
const addresses = list(address);
const when = (description: string) => text(description, { format: 'date-time' });
const count = (description: string) => integer(description, { minimum: 0 });
const warnings = list(ref('ReservationWarning'));
const party = { run_id: text('Which run of an agent'), branch: text('On which branch') };
const side = object({ ref: text('As it was asked for'), commit: text('Its id') });

const reservation = {
  reservation_id: text('Of the reservation', { format: 'uuid' }),
  ...party,
  addresses,
  created_at: when('When it was made'),
  expires_at: when('When it ends, renewals included'),
  operation: nullable(choice('What will be done', ...operations)),
  'released_at?': when('When it was given back'),
  'leases?': object({}, { description: "Tokens of the guard's leases, by resource" }),
  'lease_session?': text('For which session of the agent they were taken'),
};
const intent = {
  intent_id: text('Of the intent', { format: 'uuid' }),
  reservation_id: text('Its reservation; empty without one'),
  ...party,
  addresses,
  operation: choice('What will be done', ...operations),
  created_at: when('When it was said'),
  detail: text("In the agent's words"),
  expires_at: when('When it ends'),
};
const plannedFile = object({
  path: text('In the merged tree'),
  status: choice('Who changed it; both: in the same way', 'ours', 'theirs', 'both', 'merged', 'conflict'),
  reason: text('Why, for people'),
  'old_path?': text('Its name in the base, where that is another one'),
  is_deleted: flag('It is not in the merged tree'),
  'mode?': text('As git writes it'),
  'blob?': text('With `content`: the object that holds it'),
  'text?': text('With `content`: the merged text, or the one with markers'),
  'encoding?': choice('Of the text', 'utf8', 'latin1'),
});

export const reservationSchemas: Readonly<Record<string, Schema>> = {
  ReservationWarning: object({
    subject: text('What was passed over: a file, or the id of a record'),
    reason: text('Why'),
  }),
  Reservation: object(reservation),
  ReservationChange: object({ ...reservation, warnings }),
  Reserved: object({
    ...reservation,
    held: list(ref('ReservationHolding'), { description: 'What other agents have of it' }),
    'conflicts?': list(ref('ForecastConflict'), { description: 'With `forecast`' }),
    warnings,
  }),
  ReservationHolding: object({
    address: text('Which is wanted'),
    held_address: text('Which is reserved'),
    overlap: choice('How they meet', 'same', 'contains'),
    reservation_id: text('Of the other agent', { format: 'uuid' }),
    ...party,
    until: when('When it ends'),
  }),
  Intent: object(intent),
  Intents: object({ intents: list(ref('Intent')), warnings }),
  Reservations: object({ reservations: list(ref('Reservation')), intents: list(ref('Intent')), warnings }),
  ForecastConflict: object({
    conflict_type: choice('The surest reason', ...conflictTypes),
    addresses,
    agents: list(text('`run_id@branch`')),
    confidence: number('How sure it is', { minimum: 0, maximum: 1 }),
    description: text('Why, for people'),
    'call_path?': list(address, { description: 'From caller to callee, where calls are the reason' }),
  }),
  Forecast: object({
    active_reservations: count('Reservations that hold now'),
    intents: count('Intents that hold now'),
    conflicts: list(ref('ForecastConflict')),
    high_risk: count('Conflicts of confidence 0.8 and more'),
    medium_risk: count('Of 0.5 and more'),
    low_risk: count('The rest'),
    warnings,
  }),
  MergeConflict: object({
    kind: choice('Of conflict', ...mergeConflictKinds),
    path: text('Where it is in the merged tree'),
    symbols: addresses,
    description: text('What it is, for people'),
    recommendation: text('What to do about it'),
    ours: text('What our side did'),
    theirs: text('What their side did'),
    is_resolved: flag('The plan has dealt with it'),
    is_textual: flag('A merge of lines is in conflict here too'),
  }),
  MergePlan: object({
    is_clean: flag('No conflict is open'),
    base: nullable(text('Commit; null: no common history')),
    ours: side,
    theirs: side,
    files: list(plannedFile),
    conflicts: list(ref('MergeConflict')),
    order: list(text('A path'), { description: 'Paths with open conflicts, in the order to take them in' }),
    warnings,
  }),
  Reconciliation: object({
    into: side,
    order: list(
      object({
        branch: text('To merge'),
        commit: text('Its id'),
        conflicts: count('Open ones with what is merged by then'),
        conflicts_with: list(text('A branch before it')),
        reason: text('Why here, for people'),
      }),
    ),
    pairs: list(
      object({
        ours: text('A branch'),
        theirs: text('Another'),
        conflicts: list(ref('MergeConflict')),
      }),
    ),
    skipped: list(object({ branch: text('Left out'), reason: text('Why') })),
    warnings,
  }),
  Shards: object({
    parts: list(object({ files: list(text('A path')), symbols: count('In them; imports do not count') })),
    calls: count('From one file to another'),
    cut_calls: count('Of those, from part to part'),
    warnings,
  }),
  Impact: object({
    addresses,
    affected: list(
      object({
        address,
        distance: integer('How many calls away', { minimum: 1 }),
        path: list(
          object({
            caller: address,
            callee: address,
            confidence: number('1 unless only the name fits', { minimum: 0, maximum: 1 }),
          }),
        ),
      }),
    ),
    files: list(text('A path that holds one of them')),
    warnings,
  }),
};
