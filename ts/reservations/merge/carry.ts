/** Carries an edit of one side over to where the other side has put the symbol, or what it calls it now. Pure. */
import { lastName } from '../symbols/address.js';
import { cleanText, merge3 } from './diff3.js';
import { addressOf, type Place, type SideChanges, type SymbolChange } from './symbol-changes.js';
import { inOneStyle } from './text-style.js';
import { type FileVersion, withFirstName, withName } from './version.js';

/** A symbol that one side has renamed or moved, and the other edited. */
export interface Carried {
  readonly address: string;
  readonly mover: 'ours' | 'theirs';
  readonly from: Place;
  /** On the side of the mover. */
  readonly to: Place;
  /** On the side of the editor. */
  readonly edited: Place;
  readonly isMoved: boolean;
  /** Not it was renamed, but what it mentions. */
  readonly isMention: boolean;
  /** Both edits under the new name; undefined when they are in conflict. */
  readonly text: string | undefined;
}

export function carriedEdits(ours: SideChanges, theirs: SideChanges): Carried[] {
  const found: Carried[] = [];
  const renames = { ours: renamesOf(ours), theirs: renamesOf(theirs) };
  for (const address of new Set([...ours.ofBase.keys(), ...theirs.ofBase.keys()])) {
    const [mine, other] = [ours.ofBase.get(address), theirs.ofBase.get(address)];
    if (!mine || !other) continue;
    const carried =
      carry(address, 'ours', mine, other) ??
      carry(address, 'theirs', other, mine) ??
      carryMention(address, 'ours', mine, other, renames.ours) ??
      carryMention(address, 'theirs', other, mine, renames.theirs);
    if (carried) found.push(carried);
  }
  return found;
}

function carry(
  address: string,
  mover: Carried['mover'],
  moved: SymbolChange,
  edit: SymbolChange,
): Carried | undefined {
  const { from, to } = moved;
  const isElsewhere = moved.kind === 'renamed' || moved.kind === 'moved';
  if (!from || !to || !edit.to || !isElsewhere || edit.kind !== 'edited') return undefined;
  const hasMembers = [from, to, edit.to].some((place) => place.version.members(place.symbol.name).length > 0);
  // Its members are carried one by one; what is around them is not.
  const text = hasMembers ? undefined : mergedText(from, to, edit.to);
  const isMoved = moved.kind === 'moved';
  return { address, mover, from, to, edited: edit.to, isMoved, isMention: false, text };
}

type Rename = readonly [before: string, now: string];

function renamesOf({ ofBase }: SideChanges): Rename[] {
  return [...ofBase.values()].flatMap(({ kind, from, to }) =>
    kind === 'renamed' && from && to ? [[lastName(from.symbol.name), lastName(to.symbol.name)] as const] : [],
  );
}

/** Where one side has no more than followed its own new names, the other side's edit follows them, too. */
function carryMention(
  address: string,
  mover: Carried['mover'],
  moved: SymbolChange,
  edit: SymbolChange,
  renames: readonly Rename[],
): Carried | undefined {
  const { from, to } = moved;
  const isOfBoth = moved.kind === 'edited' && edit.kind === 'edited';
  if (!from || !to || !edit.to || !isOfBoth || renames.length === 0) return undefined;
  const follow = (text: string) => renames.reduce((all, [before, now]) => withName(all, before, now), text);
  if (follow(textOf(from)) !== textOf(to)) return undefined;
  const text = follow(textOf(edit.to));
  return { address, mover, from, to, edited: edit.to, isMoved: false, isMention: true, text };
}

/** The name may stand for other things, too, in texts or as a member: then only where it is declared it was changed. */
const renamings = [withName, withFirstName];

function mergedText(from: Place, to: Place, edited: Place): string | undefined {
  const [before, now] = [lastName(from.symbol.name), lastName(to.symbol.name)];
  const apply = renamings.find((rename) => rename(textOf(from), before, now) === textOf(to));
  for (const rename of apply ? [apply] : renamings) {
    const { texts, restore } = inOneStyle({
      base: rename(textOf(from), before, now),
      ours: textOf(to),
      theirs: rename(textOf(edited), before, now),
    });
    const text = cleanText(merge3(texts.base, texts.ours, texts.theirs));
    if (text !== undefined) return restore(text);
  }
  return undefined;
}

function textOf({ version, symbol }: Place): string {
  return version.textOf(symbol);
}

/** A text to put in place of a symbol. */
export interface Replacement {
  readonly place: Place;
  readonly text: string;
}

/** What is to be changed on each side before files are merged: the edit leaves its old place and comes to its new one. */
export function replacements(carried: readonly Carried[]): Replacement[] {
  return carried.flatMap(({ from, to, edited, text }) =>
    text === undefined
      ? []
      : [
          { place: to, text },
          { place: edited, text: textOf(from) },
        ],
  );
}

/** The text of a version with other texts for some of its symbols. */
export function replaced(version: FileVersion, all: readonly Replacement[]): string | undefined {
  const own = all.filter(({ place }) => place.version === version);
  if (own.length === 0) return undefined;
  const fromBehind = own.sort((a, b) => b.place.symbol.range.start - a.place.symbol.range.start);
  return fromBehind.reduce((text, { place, text: other }) => {
    const { start, end } = place.symbol.range;
    return text.slice(0, start) + other + text.slice(end);
  }, version.text);
}

export function describeCarried(one: Carried): string {
  if (one.isMention) return `renamed what ${one.address} mentions`;
  const how = one.isMoved ? 'moved' : 'renamed';
  return `${how} ${one.address} to ${addressOf(one.to)}`;
}
