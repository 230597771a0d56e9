/** Whether the symbols of a merged text are those that both sides together ask for. Pure. */
import type { CodeSymbol } from '../symbols/symbols.js';
import type { OldNames, Three } from './unit-merge.js';
import { type FileVersion, parentName } from './version.js';

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
  const expected = expectedSymbols(versions, oldNames);
  const wrong = [...expected].map(([name, { body }]) => wrongSymbol(merged, name, body));
  const first = wrong.find((reason) => reason !== undefined);
  if (first !== undefined) return first;
  const extra = [...merged.symbols.keys()].find((name) => !expected.has(name));
  return extra === undefined ? undefined : `${extra} would come twice or from nowhere`;
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
