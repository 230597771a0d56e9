/** Whether the symbols of a merged text are those that both sides together ask for. Pure. */
import type { CodeSymbol } from '../symbols/symbols.js';
import { isExpected, type OldNames, type Three } from './unit-merge.js';
import { type FileVersion, parentName, sharedName } from './version.js';

interface Expected {
  /** The hash that it must have; undefined when both sides changed it. */
  readonly body: string | undefined;
}

/** @returns what is wrong; undefined when nothing is. */
export function disagreement(
  versions: Three<FileVersion>,
  oldNames: OldNames,
  merged: FileVersion,
): string | undefined {
  if (merged.isOpaque) return `the merged text cannot be read: ${merged.known.problem ?? 'no language'}`;
  const twins = twinsOf(versions, oldNames, merged);
  const ofTwins = [...twins.values()].map(wrongTwins).find((reason) => reason !== undefined);
  if (ofTwins !== undefined) return ofTwins;
  const isTwin = (name: string) => twins.has(sharedName(name));
  const doubled = doubledImport(versions, merged);
  if (doubled !== undefined) return `${doubled} would be imported twice`;
  const expected = expectedSymbols(versions, oldNames);
  const single = [...expected].filter(([name]) => !isTwin(name));
  const wrong = single.map(([name, { body }]) => wrongSymbol(merged, name, body));
  const first = wrong.find((reason) => reason !== undefined);
  if (first !== undefined) return first;
  const extra = [...merged.symbols.keys()].find((name) => !expected.has(name) && !isTwin(name));
  return extra === undefined ? undefined : `${extra} would come twice or from nowhere`;
}

/** Symbols who share a name. Their numbers say only in which order they stand, so they are counted. */
interface Twins {
  readonly name: string;
  readonly base: number;
  readonly ours: number;
  readonly theirs: number;
  readonly merged: number;
  readonly areLocal: boolean;
}

function twinsOf(
  { base, ours, theirs }: Three<FileVersion>,
  oldNames: OldNames,
  merged: FileVersion,
): Map<string, Twins> {
  const now = (name: string) => sharedName(newName(name, oldNames));
  const counts = {
    base: counted(base, now),
    ours: counted(ours, (name) => now(oldName(name, oldNames.ours))),
    theirs: counted(theirs, (name) => now(oldName(name, oldNames.theirs))),
    merged: counted(merged, sharedName),
  };
  const twins = new Map<string, Twins>();
  for (const name of new Set(Object.values(counts).flatMap((one) => [...one.keys()]))) {
    const of = (one: ReadonlyMap<string, number>) => one.get(name) ?? 0;
    const all = {
      base: of(counts.base),
      ours: of(counts.ours),
      theirs: of(counts.theirs),
      merged: of(counts.merged),
    };
    if (Math.max(...Object.values(all)) < 2) continue;
    const sharing = [...merged.symbols.values()].filter((symbol) => sharedName(symbol.name) === name);
    twins.set(name, { name, ...all, areLocal: sharing.every((symbol) => merged.isLocal(symbol)) });
  }
  return twins;
}

function counted(version: FileVersion, nameOf: (name: string) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of version.symbols.keys()) counts.set(nameOf(name), (counts.get(nameOf(name)) ?? 0) + 1);
  return counts;
}

function wrongTwins({ name, base, ours, theirs, merged, areLocal }: Twins): string | undefined {
  const wereTwins = Math.max(base, ours, theirs) > 1;
  if (!wereTwins && !areLocal) return `${name} would come twice or from nowhere`;
  return isExpected(merged, base, ours, theirs) ? undefined : `${name} would be lost or come twice`;
}

/** Imports are no symbols here; a line of them that only a comment tells apart must not come from both sides. */
function doubledImport({ ours, theirs }: Three<FileVersion>, merged: FileVersion): string | undefined {
  const [mine, other, all] = [ours, theirs, merged].map(importCounts);
  const most = (key: string) => Math.max(mine?.get(key) ?? 0, other?.get(key) ?? 0);
  const found = [...(all ?? [])].find(([key, count]) => count > Math.max(1, most(key)));
  return found && (JSON.parse(found[0]) as string[])[0];
}

function importCounts({ known }: FileVersion): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { local, imported, module } of known.imports) {
    const key = JSON.stringify([local, imported, module]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

function wrongSymbol(merged: FileVersion, name: string, body: string | undefined): string | undefined {
  const symbol = merged.symbols.get(name);
  if (!symbol) return `${name} would be lost`;
  const isLeaf = merged.members(name).length === 0;
  const isOther = isLeaf && body !== undefined && symbol.bodyHash !== body;
  return isOther ? `${name} would be neither side's` : undefined;
}

function expectedSymbols(versions: Three<FileVersion>, oldNames: OldNames): Map<string, Expected> {
  const sides = {
    ours: byOldName(versions.ours, oldNames.ours),
    theirs: byOldName(versions.theirs, oldNames.theirs),
  };
  const expected = new Map<string, Expected>();
  for (const name of new Set([...sides.ours.keys(), ...sides.theirs.keys()])) {
    const base = versions.base.symbols.get(name);
    const [ours, theirs] = [sides.ours.get(name), sides.theirs.get(name)];
    const isGone = base && !(ours && theirs);
    if (!isGone) expected.set(newName(name, oldNames), { body: expectedBody(base, ours, theirs) });
  }
  return expected;
}

function byOldName(version: FileVersion, oldNames: ReadonlyMap<string, string>): Map<string, CodeSymbol> {
  return new Map([...version.symbols].map(([name, symbol]) => [oldName(name, oldNames), symbol]));
}

function oldName(name: string, oldNames: ReadonlyMap<string, string>): string {
  const old = oldNames.get(name);
  const parent = parentName(name);
  if (old !== undefined || parent === undefined) return old ?? name;
  return `${oldName(parent, oldNames)}${name.slice(parent.length)}`;
}

/** As either side calls it now. */
function newName(name: string, oldNames: OldNames): string {
  const now = [...oldNames.ours, ...oldNames.theirs].find(([, old]) => old === name)?.[0];
  const parent = parentName(name);
  if (now !== undefined || parent === undefined) return now ?? name;
  return `${newName(parent, oldNames)}${name.slice(parent.length)}`;
}

function expectedBody(
  base: CodeSymbol | undefined,
  ours: CodeSymbol | undefined,
  theirs: CodeSymbol | undefined,
): string | undefined {
  if (ours?.bodyHash === theirs?.bodyHash) return ours?.bodyHash;
  if (!base) return ours && theirs ? undefined : (ours ?? theirs)?.bodyHash;
  if (ours?.bodyHash === base.bodyHash) return theirs?.bodyHash;
  return theirs?.bodyHash === base.bodyHash ? ours?.bodyHash : undefined;
}
