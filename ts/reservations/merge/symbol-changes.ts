/** What one side did to the symbols of the base. Pure. */
import { addressOf as addressOfName, lastName } from '../symbols/address.js';
import type { CodeSymbol } from '../symbols/symbols.js';
import { type FileVersion, parentName, withFirstName, withName } from './version.js';

export interface Place {
  readonly version: FileVersion;
  readonly symbol: CodeSymbol;
}

/** A symbol of the base and what became of it. */
export interface SymbolChange {
  readonly kind: 'added' | 'removed' | 'kept' | 'edited' | 'renamed' | 'moved';
  /** Undefined for what was added. */
  readonly from: Place | undefined;
  /** Undefined for what was removed. */
  readonly to: Place | undefined;
  /** Its own text is another one, apart from its name. */
  readonly isEdited: boolean;
  readonly isSignatureChanged: boolean;
}

/** A file in the base and on one side; undefined where it is not. */
export interface FilePair {
  readonly base: FileVersion | undefined;
  readonly side: FileVersion | undefined;
}

export interface SideChanges {
  /** By the address in the base. */
  readonly ofBase: ReadonlyMap<string, SymbolChange>;
  /** By the address on the side. */
  readonly added: ReadonlyMap<string, SymbolChange>;
}

// Texts that have at least so much in common are one text that was edited. Below so many parts everything is like
// everything.
const byLines = { likeness: 0.6, least: 3 };
const byWords = { likeness: 0.85, least: 12 };

export function addressOf({ version, symbol }: Place): string {
  return addressOfName(version.path, symbol.name);
}

export function symbolChanges(pairs: readonly FilePair[]): SideChanges {
  const matches = new Map<string, Place>();
  const gone: Place[] = [];
  const come: Place[] = [];
  for (const pair of pairs) matchByName(pair, matches, gone, come);
  const free = new Set(come);
  matchOthers(gone, free, matches, pairs);
  const ofBase = new Map<string, SymbolChange>();
  for (const from of pairs.flatMap(({ base }) => places(base))) {
    const address = addressOf(from);
    ofBase.set(address, changeOf(from, matches.get(address), pairs));
  }
  const added = [...free].map((to): [string, SymbolChange] => [
    addressOf(to),
    { kind: 'added', from: undefined, to, isEdited: true, isSignatureChanged: false },
  ]);
  return { ofBase, added: new Map(added) };
}

function places(version: FileVersion | undefined): Place[] {
  return version ? [...version.symbols.values()].map((symbol) => ({ version, symbol })) : [];
}

function matchByName(pair: FilePair, matches: Map<string, Place>, gone: Place[], come: Place[]): void {
  for (const from of places(pair.base)) {
    const symbol = pair.side?.symbols.get(from.symbol.name);
    if (pair.side && symbol) matches.set(addressOf(from), { version: pair.side, symbol });
    else gone.push(from);
  }
  come.push(...places(pair.side).filter(({ symbol }) => !pair.base?.symbols.has(symbol.name)));
}

/** Two places that may be the same symbol have the same key, so that not everything is held against everything. */
interface Rule {
  key(place: Place, side: FileVersion | undefined): string;
  test(from: Place, to: Place): boolean;
}

/** Finds what has another name or another file. Outer symbols come before their members, which follow them. */
function matchOthers(
  gone: readonly Place[],
  free: Set<Place>,
  matches: Map<string, Place>,
  pairs: readonly FilePair[],
): void {
  const files = new Map(pairs.flatMap(({ base, side }) => (base && side ? [[base, side] as const] : [])));
  const isStill = (from: Place, to: Place) => files.get(from.version) === to.version;
  const isRenamed = (from: Place, to: Place) => isStill(from, to) && isSibling(from, to, matches);
  const isMoved = (from: Place, to: Place) => !isStill(from, to) && hasSameName(from, to);
  const byShape = ({ symbol }: Place) => symbol.shapeHash;
  const byFile = (_place: Place, side: FileVersion | undefined) => side?.path ?? '';
  const byName = ({ symbol }: Place) => lastName(symbol.name);
  const rules: Rule[] = [
    { key: byShape, test: isRenamed },
    { key: byShape, test: isMoved },
    { key: declared, test: isRenamed },
    { key: byFile, test: (from, to) => isRenamed(from, to) && isLike(from, to) },
    { key: byName, test: (from, to) => isMoved(from, to) && isLike(from, to) },
  ];
  for (const { key, test } of rules) {
    const candidates = groupedBy(free, (to) => `${to.symbol.kind} ${key(to, to.version)}`);
    for (const from of gone) {
      if (matches.has(addressOf(from))) continue;
      const near = candidates.get(`${from.symbol.kind} ${key(from, files.get(from.version))}`) ?? [];
      const to = near.find((one) => free.has(one) && test(from, one));
      if (!to) continue;
      matches.set(addressOf(from), to);
      free.delete(to);
      followMembers(from, gone, free, matches);
    }
  }
}

function groupedBy(places: Iterable<Place>, keyOf: (place: Place) => string): Map<string, Place[]> {
  const groups = new Map<string, Place[]>();
  for (const place of places) {
    const key = keyOf(place);
    const group = groups.get(key);
    if (group) group.push(place);
    else groups.set(key, [place]);
  }
  return groups;
}

function followMembers(
  outer: Place,
  gone: readonly Place[],
  free: Set<Place>,
  matches: Map<string, Place>,
): void {
  const prefix = `${outer.symbol.name}.`;
  for (const from of gone) {
    if (from.version !== outer.version || !from.symbol.name.startsWith(prefix)) continue;
    const to = [...free].find((one) => follows(from, one, matches));
    if (!to || matches.has(addressOf(from))) continue;
    matches.set(addressOf(from), to);
    free.delete(to);
  }
}

/** The same member of what its outer symbol has become. */
function follows(from: Place, to: Place, matches: ReadonlyMap<string, Place>): boolean {
  const outer = outerMatch(from, matches);
  if (!outer) return false;
  const name = `${outer.symbol.name}.${from.symbol.name.slice((parentName(from.symbol.name) ?? '').length + 1)}`;
  return outer.version === to.version && to.symbol.name === name;
}

function outerMatch(from: Place, matches: ReadonlyMap<string, Place>): Place | undefined {
  const parent = parentName(from.symbol.name);
  return parent === undefined ? undefined : matches.get(`${from.version.path}::${parent}`);
}

function isSibling(from: Place, to: Place, matches: ReadonlyMap<string, Place>): boolean {
  const outer = outerMatch(from, matches)?.symbol.name ?? parentName(from.symbol.name);
  return outer === parentName(to.symbol.name);
}

function hasSameName(from: Place, to: Place): boolean {
  return lastName(from.symbol.name) === lastName(to.symbol.name);
}

function hasSameShape(from: Place, to: Place): boolean {
  return from.symbol.shapeHash === to.symbol.shapeHash;
}

/** Its text without the name that it is declared under: what else has that name may have kept it. */
function declared({ version, symbol }: Place): string {
  return withFirstName(version.textOf(symbol), lastName(symbol.name), '');
}

function isLike(from: Place, to: Place): boolean {
  const name = lastName(to.symbol.name);
  const one = withName(from.version.textOf(from.symbol), lastName(from.symbol.name), name);
  const other = to.version.textOf(to.symbol);
  // An edit of a function of two lines has changed half of them.
  return (
    haveInCommon(meaningfulLines(one), meaningfulLines(other), byLines) ||
    haveInCommon(wordsOf(one), wordsOf(other), byWords)
  );
}

function haveInCommon(
  one: readonly string[],
  other: readonly string[],
  { likeness, least }: { readonly likeness: number; readonly least: number },
): boolean {
  if (Math.min(one.length, other.length) < least) return false;
  const counts = new Map<string, number>();
  for (const part of one) counts.set(part, (counts.get(part) ?? 0) + 1);
  let shared = 0;
  for (const part of other) {
    const left = counts.get(part) ?? 0;
    if (left > 0) shared++;
    counts.set(part, left - 1);
  }
  return (2 * shared) / (one.length + other.length) >= likeness;
}

function wordsOf(text: string): string[] {
  return text.match(/[\p{L}\p{N}_$]+|[^\s\p{L}\p{N}_$]/gu) ?? [];
}

function meaningfulLines(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => /[\p{L}\p{N}]/u.test(line));
}

function changeOf(from: Place, to: Place | undefined, pairs: readonly FilePair[]): SymbolChange {
  if (!to) return { kind: 'removed', from, to, isEdited: false, isSignatureChanged: false };
  const isRenamed = from.symbol.name !== to.symbol.name;
  const isStill = pairs.some(({ base, side }) => base === from.version && side === to.version);
  const isEdited = isRenamed
    ? !hasSameShape(from, to) && declared(from) !== declared(to)
    : from.version.ownText(from.symbol) !== to.version.ownText(to.symbol);
  const isSignatureChanged = !isRenamed && from.symbol.signatureHash !== to.symbol.signatureHash;
  const edited = isEdited ? 'edited' : 'kept';
  const renamed = isRenamed ? 'renamed' : edited;
  return { kind: isStill ? renamed : 'moved', from, to, isEdited, isSignatureChanged };
}
