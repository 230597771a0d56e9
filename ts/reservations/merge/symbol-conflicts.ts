/** Symbols that both sides touched. Pure. */
import { splitAddress } from '../symbols/address.js';
import type { Carried } from './carry.js';
import { describeCarried } from './carry.js';
import {
  addressOf,
  type FilePair,
  type Place,
  type SideChanges,
  type SymbolChange,
} from './symbol-changes.js';
import type { MergeConflict } from './types.js';
import { newUses, touchedCallers, type Use } from './uses.js';
import { sharedName } from './version.js';

export interface BothChanges {
  readonly ours: SideChanges;
  readonly theirs: SideChanges;
}

type Draft = Omit<MergeConflict, 'isTextual'>;

/** What two sides did to one symbol. */
export interface Meeting extends Draft {
  /** Both edited it where it is, or put it in different places: a clean merge of lines has both and loses nothing. */
  readonly mayMerge?: boolean;
}

/** Edits against edits and against deletions, and two symbols of one name. */
export function meetings({ ours, theirs }: BothChanges, carried: readonly Carried[]): Meeting[] {
  const isCarried = new Set(carried.map(({ address }) => address));
  const found: Meeting[] = [];
  for (const [address, mine] of ours.ofBase) {
    const other = theirs.ofBase.get(address);
    const draft = other && !isCarried.has(address) ? meeting(address, mine, other) : undefined;
    if (draft) found.push(draft);
  }
  for (const [address, { to: mine }] of ours.added) {
    const other = theirs.added.get(address)?.to;
    if (mine && other && mine.symbol.bodyHash !== other.symbol.bodyHash)
      found.push({ ...added(address), mayMerge: [mine, other].every(isOneOfMany) });
  }
  return [...found, ...carried.map(carriedDraft)];
}

function meeting(address: string, mine: SymbolChange, other: SymbolChange): Meeting | undefined {
  if (isUntouched(mine) || isUntouched(other)) return undefined;
  if (mine.kind === 'removed' || other.kind === 'removed') return deletion(address, mine, other);
  if (isSameResult(mine, other)) return undefined;
  return {
    kind: 'symbol_edit_overlap',
    path: mine.to?.version.path ?? splitAddress(address).path,
    symbols: [address],
    description: `Both sides changed ${address}, not in the same way.`,
    recommendation: 'Let one of the two authors put both changes into the symbol, and run its tests.',
    ours: told(mine),
    theirs: told(other),
    isResolved: false,
    mayMerge: mine.kind === 'edited' && other.kind === 'edited',
  };
}

function isUntouched({ kind }: SymbolChange): boolean {
  return kind === 'kept';
}

/** What has members is the same when what is around them is. */
function isSameResult(mine: SymbolChange, other: SymbolChange): boolean {
  if (!mine.to || !other.to) return mine.to === other.to;
  if (mine.to.symbol.name !== other.to.symbol.name) return false;
  const isMoved = mine.kind === 'moved' || other.kind === 'moved';
  if (isMoved && mine.to.version.path !== other.to.version.path) return false;
  return mine.to.version.ownText(mine.to.symbol) === other.to.version.ownText(other.to.symbol);
}

function deletion(address: string, mine: SymbolChange, other: SymbolChange): Draft | undefined {
  if (mine.kind === other.kind) return undefined;
  const [gone, kept] = mine.kind === 'removed' ? ['our side', other] : ['their side', mine];
  return {
    kind: 'delete_edit',
    path: kept.to?.version.path ?? splitAddress(address).path,
    symbols: [address],
    description: `${address} was deleted on ${gone} and ${told(kept)} on the other.`,
    recommendation: 'Ask whether the change is still needed; if it is, keep the symbol, else delete it.',
    ours: told(mine),
    theirs: told(other),
    isResolved: false,
  };
}

/** There may be more of its name in the file, each in its own place. */
function isOneOfMany({ version, symbol }: Place): boolean {
  return version.isLocal(symbol) || sharedName(symbol.name) !== symbol.name;
}

function added(address: string): Draft {
  return {
    kind: 'add_add',
    path: splitAddress(address).path,
    symbols: [address],
    description: `Both sides added ${address}, not the same.`,
    recommendation: 'Give one of the two another name, or make one of both.',
    ours: 'added',
    theirs: 'added',
    isResolved: false,
  };
}

function carriedDraft(one: Carried): Draft {
  const kind = one.isMoved ? 'move_edit' : 'rename_edit';
  const isResolved = one.text !== undefined;
  const [how, place] = [one.isMoved ? 'moved' : 'renamed', addressOf(one.to)];
  return {
    kind,
    path: one.to.version.path,
    symbols: [...new Set([one.address, place])],
    description: `One side ${describeCarried(one)}, the other edited it.`,
    recommendation: isResolved
      ? `The edit is applied to ${place}.`
      : `Make the edit in ${place} by hand, and drop it in the old place.`,
    ours: one.mover === 'ours' ? how : 'edited',
    theirs: one.mover === 'theirs' ? how : 'edited',
    isResolved,
  };
}

function told({ kind, isSignatureChanged }: SymbolChange): string {
  if (kind === 'removed') return 'deleted';
  return isSignatureChanged ? 'edited, its signature too' : kind;
}

/** Files of one side that differ from the base. */
export interface BothPairs {
  readonly ours: readonly FilePair[];
  readonly theirs: readonly FilePair[];
}

/** What one side takes away or calls with other arguments, against who on the other side uses it. */
export function brokenUses(changes: BothChanges, pairs: BothPairs): Draft[] {
  return [...broken('ours', 'theirs', changes, pairs), ...broken('theirs', 'ours', changes, pairs)];
}

type Side = 'ours' | 'theirs';

function broken(changer: Side, user: Side, changes: BothChanges, pairs: BothPairs): Draft[] {
  const found: Draft[] = [];
  for (const [address, change] of changes[changer].ofBase) {
    const { from, kind } = change;
    if (!from) continue;
    const isAway = kind === 'removed' || kind === 'renamed' || kind === 'moved';
    const away = isAway ? newUses(from, pairs[user]) : [];
    found.push(...away.map((use) => useDraft('delete_use', address, change, use, changer)));
    if (!change.isEdited) continue;
    const callers = touchedCallers(from, changes[user]).filter((use) => use.user !== address);
    found.push(
      ...callers.map((use) =>
        change.isSignatureChanged
          ? useDraft('signature_use', address, change, use, changer)
          : reliance(address, use, changer),
      ),
    );
  }
  return found;
}

/** The texts merge; whether they still fit together only a test can say. */
function reliance(address: string, use: Use, changer: Side): Draft {
  const [who, other] = changer === 'ours' ? ['Our side', 'their side'] : ['Their side', 'our side'];
  return {
    kind: 'dependency_conflict',
    path: use.path,
    symbols: [address, use.user],
    description: `${who} edited ${address}; ${other} edited ${use.user}, which calls it.`,
    recommendation: `Both are kept. Run the tests of ${use.user}.`,
    ours: changer === 'ours' ? 'edited' : 'edited its caller',
    theirs: changer === 'theirs' ? 'edited' : 'edited its caller',
    isResolved: true,
  };
}

function useDraft(
  kind: 'delete_use' | 'signature_use',
  address: string,
  change: SymbolChange,
  use: Use,
  changer: Side,
): Draft {
  const [who, other] = changer === 'ours' ? ['Our side', 'their side'] : ['Their side', 'our side'];
  const did = kind === 'signature_use' ? 'changed the signature of' : told(change);
  const now = change.to ? ` It is now ${addressOf(change.to)}.` : '';
  const line = use.line === undefined ? '' : ` (line ${use.line})`;
  return {
    kind,
    path: use.path,
    symbols: [address, use.user],
    description: `${who} ${did} ${address}; ${other} uses it in ${use.user}${line}.`,
    recommendation: kind === 'signature_use' ? `Adapt the call in ${use.user}.` : `Change ${use.user}.${now}`,
    ours: changer === 'ours' ? did : 'uses it',
    theirs: changer === 'theirs' ? did : 'uses it',
    isResolved: false,
  };
}
