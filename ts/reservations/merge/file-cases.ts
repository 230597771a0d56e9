/** Which files of three trees belong together, and what their contents are. */
import { modes, type Objects, type Tree, type TreeEntry } from '../git/objects.js';
import type { FileSymbols } from '../symbols/symbols.js';
import { inOneStyle } from './text-style.js';
import { FileVersion, type SymbolsOf } from './version.js';

/** One file on all sides; undefined where it is not. */
export interface FileCase {
  /** In the merged tree. */
  readonly path: string;
  readonly base: TreeEntry | undefined;
  readonly ours: TreeEntry | undefined;
  readonly theirs: TreeEntry | undefined;
}

/** Names that both sides gave to one file. */
export interface Renames {
  readonly ours: ReadonlyMap<string, string>;
  readonly theirs: ReadonlyMap<string, string>;
}

/** Files that at least one side changed. */
export function fileCases(base: Tree, ours: Tree, theirs: Tree, renames: Renames): FileCase[] {
  const cases: FileCase[] = [];
  const used = { ours: new Set<string>(), theirs: new Set<string>() };
  for (const entry of base.entries.values()) {
    const oursPath = renames.ours.get(entry.path) ?? entry.path;
    const theirsPath = renames.theirs.get(entry.path) ?? entry.path;
    used.ours.add(oursPath);
    used.theirs.add(theirsPath);
    cases.push({
      path: oursPath === entry.path ? theirsPath : oursPath,
      base: entry,
      ours: ours.entries.get(oursPath),
      theirs: theirs.entries.get(theirsPath),
    });
  }
  const added = [
    ...[...ours.entries.keys()].filter((path) => !used.ours.has(path)),
    ...[...theirs.entries.keys()].filter((path) => !used.theirs.has(path)),
  ];
  for (const path of new Set(added)) {
    const mine = used.ours.has(path) ? undefined : ours.entries.get(path);
    const other = used.theirs.has(path) ? undefined : theirs.entries.get(path);
    cases.push({ path, base: undefined, ours: mine, theirs: other });
  }
  const changed = cases.filter((one) => !isSame(one.base, one.ours) || !isSame(one.base, one.theirs));
  return changed.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function isSame(one: TreeEntry | undefined, other: TreeEntry | undefined): boolean {
  return one?.id === other?.id && one?.mode === other?.mode && one?.path === other?.path;
}

export function hasSameContent(one: TreeEntry | undefined, other: TreeEntry | undefined): boolean {
  return one?.id === other?.id && isRegular(one) === isRegular(other);
}

export function isRegular(entry: TreeEntry | undefined): boolean {
  return entry?.mode === modes.file || entry?.mode === modes.executable;
}

/** The texts of one case. */
export interface CaseTexts {
  readonly base: FileVersion | undefined;
  readonly ours: FileVersion | undefined;
  readonly theirs: FileVersion | undefined;
  readonly encoding: 'utf8' | 'latin1';
  /** They differ in their line ends too, which are merged by themselves. */
  readonly isRestyled: boolean;
  restore(text: string): string;
}

// Parsing more at once takes longer than anybody waits; merging the lines of more takes too much memory.
const maxParsedBytes = 2 * 1024 * 1024;
const maxMergedBytes = 64 * 1024 * 1024;

/** @returns why there are none */
export async function readTexts(
  one: FileCase,
  objects: Objects,
  symbolsOf: SymbolsOf,
): Promise<CaseTexts | string> {
  const entries = [one.base, one.ours, one.theirs];
  const present = entries.filter((entry) => entry !== undefined);
  if (!present.every(isRegular)) return 'a link or a submodule';
  if (present.some(({ bytes }) => bytes > maxMergedBytes)) return `more than ${maxMergedBytes} bytes`;
  const contents = await Promise.all(entries.map((entry) => entry && objects.read(entry.id)));
  if (contents.some((bytes) => bytes?.subarray(0, 8000).includes(0))) return 'binary';
  const encoding = contents.every((bytes) => !bytes || isUtf8(bytes)) ? 'utf8' : 'latin1';
  const [base = '', ours = '', theirs = ''] = contents.map((bytes) => bytes?.toString(encoding) ?? '');
  const isWhole = one.base !== undefined && one.ours !== undefined && one.theirs !== undefined;
  const { texts, isRestyled, restore } = isWhole
    ? inOneStyle({ base, ours, theirs })
    : { texts: { base, ours, theirs }, isRestyled: false, restore: (text: string) => text };
  const version = async (entry: TreeEntry | undefined, text: string) => {
    if (!entry) return undefined;
    const canParse = encoding === 'utf8' && text.length <= maxParsedBytes;
    return canParse ? FileVersion.read(entry.path, text, symbolsOf) : opaque(entry, text);
  };
  const ofBase = await version(one.base, texts.base);
  // What a side has not changed need not be read again.
  const side = (entry: TreeEntry | undefined, text: string) =>
    ofBase && entry?.path === ofBase.path && text === ofBase.text ? ofBase : version(entry, text);
  return {
    base: ofBase,
    ours: await side(one.ours, texts.ours),
    theirs: await side(one.theirs, texts.theirs),
    encoding,
    isRestyled,
    restore,
  };
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes);
}

function opaque({ path, id }: TreeEntry, text: string): FileVersion {
  const known: FileSymbols = {
    path,
    contentId: id,
    language: undefined,
    symbols: [],
    imports: [],
    calls: [],
    problem: 'It is too large, or no UTF-8.',
  };
  return new FileVersion(path, text, known);
}
