/** The text of one file that both sides changed. */
import type { CodeSymbol } from '../symbols/symbols.js';
import { cleanText, type Labels, markedText, merge3, type Stretch } from './diff3.js';
import { mergeUnits, type OldNames, type Three } from './unit-merge.js';
import { disagreement } from './verify.js';
import { FileVersion, type SymbolsOf } from './version.js';

export interface FileMerge {
  /** The merged text; undefined when there is none that can be trusted. */
  readonly text: string | undefined;
  /** With conflict markers where lines are in conflict. */
  readonly marked: string;
  /** Symbols in which lines are in conflict, by their names; empty when lines merge. */
  readonly lineConflicts: readonly string[];
  readonly areLinesClean: boolean;
  /** What a merge of lines would have made wrong, though it is clean. */
  readonly linesWrong: string | undefined;
  /** Why there is no text, or how it came about. */
  readonly reason: string;
}

export interface MergeOptions {
  readonly oldNames: OldNames;
  readonly symbolsOf: SymbolsOf;
  readonly labels: Labels;
}

/** A merge of lines where it is clean, symbol by symbol where it is not; in both cases the symbols are checked. */
export async function mergeFile(versions: Three<FileVersion>, options: MergeOptions): Promise<FileMerge> {
  const { base, ours, theirs } = versions;
  const stretches = merge3(base.text, ours.text, theirs.text);
  const byLines = cleanText(stretches);
  const common = {
    marked: markedText(stretches, options.labels),
    lineConflicts: conflictNames(stretches, versions),
    areLinesClean: byLines !== undefined,
    linesWrong: undefined,
  };
  if (isOpaque(versions)) {
    const reason = byLines === undefined ? 'lines are in conflict' : 'merged line by line';
    return { ...common, text: byLines, reason };
  }
  const wrong = byLines === undefined ? 'lines are in conflict' : await check(byLines, versions, options);
  if (wrong === undefined) return { ...common, text: byLines, reason: 'merged line by line' };
  const byUnits = mergeUnits(versions, options.oldNames);
  const unitsWrong = byUnits === undefined ? wrong : await check(byUnits, versions, options);
  const linesWrong = byLines === undefined ? undefined : wrong;
  if (unitsWrong === undefined)
    return { ...common, text: byUnits, linesWrong, reason: 'merged symbol by symbol' };
  return { ...common, text: undefined, reason: unitsWrong };
}

function isOpaque(versions: Three<FileVersion>): boolean {
  return Object.values(versions).some((version: FileVersion) => version.isOpaque);
}

async function check(
  text: string,
  versions: Three<FileVersion>,
  { oldNames, symbolsOf }: MergeOptions,
): Promise<string | undefined> {
  const merged = await FileVersion.read(versions.ours.path, text, symbolsOf);
  return disagreement(versions, oldNames, merged);
}

function conflictNames(stretches: readonly Stretch[], versions: Three<FileVersion>): string[] {
  const names = new Set<string>();
  for (const { from, base, ours, theirs, at } of stretches) {
    if (from !== 'conflict') continue;
    const found: CodeSymbol[] = [
      ...versions.base.symbolsAt(at.base, at.base + base.length),
      ...(ours.length > 0 ? versions.ours.symbolsAt(at.ours, at.ours + ours.length) : []),
      ...(theirs.length > 0 ? versions.theirs.symbolsAt(at.theirs, at.theirs + theirs.length) : []),
    ];
    for (const { name } of found) names.add(name);
  }
  return [...names];
}
