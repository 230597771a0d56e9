/** What becomes of one file. */
import { dependencyClashes } from './dependencies.js';
import { type CaseTexts, type FileCase, hasSameContent, isSame } from './file-cases.js';
import { type FileMerge, mergeFile } from './file-merge.js';
import type { Meeting } from './symbol-conflicts.js';
import { threeWay } from './text-style.js';
import type { MergeConflict, PlannedContent, PlannedFile } from './types.js';
import type { OldNames } from './unit-merge.js';
import type { FileVersion, SymbolsOf } from './version.js';

export interface LoadedCase {
  readonly file: FileCase;
  /** Or why there are none. */
  readonly texts: CaseTexts | string;
}

export interface FileContext {
  readonly symbolsOf: SymbolsOf;
  /** Symbols that both sides touched and that are not dealt with, in this file. */
  readonly open: readonly Meeting[];
  readonly oldNames: OldNames;
  /** An edit was carried into this file, or out of it. */
  readonly isCarried: boolean;
  readonly labels: { readonly ours: string; readonly base: string; readonly theirs: string };
}

export interface FileResult {
  readonly file: PlannedFile;
  readonly conflicts: readonly MergeConflict[];
}

type Clash = Pick<MergeConflict, 'kind' | 'description' | 'recommendation'> & Partial<MergeConflict>;

export async function planFile(one: LoadedCase, context: FileContext): Promise<FileResult> {
  const { file, texts } = one;
  const whole = context.isCarried ? carriedWhole(one) : unmerged(one);
  if (whole) return whole;
  if (typeof texts === 'string') return refused(file, texts, otherThanText(file, texts));
  return mergeTexts(file, texts, context);
}

/** What needs no merge of texts, or cannot have one. */
function unmerged({ file, texts }: LoadedCase): FileResult | undefined {
  const { base, ours, theirs } = file;
  const oneSided = onOneSide(file);
  if (oneSided) return { file: oneSided, conflicts: [] };
  if (!base) return refused(file, texts, addAdd(file));
  if (!ours || !theirs) return refused(file, texts, deletedAndEdited(file, texts));
  const wrong = metadataClash(file);
  if (wrong) return refused(file, texts, wrong);
  const isContentOneSided = [ours, theirs].some((side) => hasSameContent(side, base));
  if (!isContentOneSided) return undefined;
  const { id } = hasSameContent(ours, base) ? theirs : ours;
  const reason = 'its content was changed on one side, its name or mode on the other';
  return { file: { ...merged(file, reason), content: { id } }, conflicts: [] };
}

/** A file that an edit was carried into, or out of, and that one side does not have. */
function carriedWhole({ file, texts }: LoadedCase): FileResult | undefined {
  if (typeof texts === 'string') return undefined;
  const { base, ours, theirs } = texts;
  const kept = ours && theirs ? undefined : (ours ?? theirs);
  if (!kept) return base ? undefined : refused(file, texts, addAdd(file));
  const common = merged(file, 'an edit of the other side was carried over with a symbol');
  if (base?.text === kept.text) return { file: { ...common, isDeleted: true }, conflicts: [] };
  if (base) return refused(file, texts, deletedAndEdited(file, texts));
  const content: PlannedContent = { text: texts.restore(kept.text), encoding: texts.encoding };
  return { file: { ...common, content }, conflicts: [] };
}

function onOneSide(file: FileCase): PlannedFile | undefined {
  const { base, ours, theirs } = file;
  if (isSame(ours, theirs)) return taken(file, ours, 'both');
  if (isSame(base, theirs)) return taken(file, ours, 'ours');
  return isSame(base, ours) ? taken(file, theirs, 'theirs') : undefined;
}

const reasons = {
  ours: 'only our side changed it',
  theirs: 'only their side changed it',
  both: 'both sides changed it in the same way',
};

function taken(file: FileCase, entry: FileCase['ours'], status: 'ours' | 'theirs' | 'both'): PlannedFile {
  const common = { ...named(file), status, reason: reasons[status] };
  if (!entry) return { ...common, isDeleted: true };
  return { ...common, isDeleted: false, mode: entry.mode, content: { id: entry.id } };
}

function named({ path, base }: FileCase): { path: string; oldPath?: string } {
  return base && base.path !== path ? { path, oldPath: base.path } : { path };
}

function merged(file: FileCase, reason: string): PlannedFile {
  const { base, ours, theirs } = file;
  const mode = base ? threeWay(base.mode, ours?.mode, theirs?.mode) : (ours ?? theirs)?.mode;
  return { ...named(file), status: 'merged', reason, isDeleted: false, ...(mode !== undefined && { mode }) };
}

function addAdd({ path }: FileCase): Clash {
  return {
    kind: 'add_add',
    description: `Both sides added ${path}, not the same.`,
    recommendation: 'Give one of the two another name, or make one of both.',
    ours: 'added',
    theirs: 'added',
  };
}

function deletedAndEdited({ path, ours }: FileCase, texts: CaseTexts | string): Clash {
  const who = ours ? ['edited', 'deleted'] : ['deleted', 'edited'];
  const symbols = typeof texts === 'string' ? [] : editedSymbols(texts, path);
  return {
    kind: 'delete_edit',
    symbols: symbols.length > 0 ? symbols : [path],
    description: `${path} was ${who[0]} by our side and ${who[1]} by their side.`,
    recommendation: 'Ask whether the change is still needed; if it is, keep the file, else delete it.',
    ours: who[0] ?? '',
    theirs: who[1] ?? '',
  };
}

function editedSymbols({ base, ours, theirs }: CaseTexts, path: string): string[] {
  const kept = ours ?? theirs;
  const names = new Set([...(base?.symbols.keys() ?? []), ...(kept?.symbols.keys() ?? [])]);
  const isEdited = (name: string) => base?.symbols.get(name)?.bodyHash !== kept?.symbols.get(name)?.bodyHash;
  return [...names].filter(isEdited).map((name) => `${path}::${name}`);
}

/** Names and modes that both sides changed, not in the same way. */
function metadataClash({ base, ours, theirs, path }: FileCase): Clash | undefined {
  const facts = (['path', 'mode'] as const).map((what) => [what, base?.[what], ours?.[what], theirs?.[what]]);
  const clash = facts.find(([, b, o, t]) => o !== t && o !== b && t !== b);
  if (!clash) return undefined;
  const [what, , mine = '', other = ''] = clash;
  return {
    kind: 'file_conflict',
    description: `Both sides changed the ${what === 'path' ? 'name' : 'mode'} of ${path}: ${mine} and ${other}.`,
    recommendation: 'Choose one of the two.',
    ours: mine,
    theirs: other,
  };
}

function otherThanText({ path }: FileCase, why: string): Clash {
  return {
    kind: 'file_conflict',
    description: `Both sides changed ${path}, which cannot be merged: ${why}.`,
    recommendation: 'Choose one of the two, or make the file anew from what both rest on.',
  };
}

function conflictOf(file: FileCase, clash: Clash): MergeConflict {
  const common = { path: file.path, symbols: [file.path], ours: 'changed', theirs: 'changed' };
  return { ...common, isResolved: false, isTextual: true, ...clash };
}

function refused(file: FileCase, texts: CaseTexts | string, clash: Clash): FileResult {
  const entry = file.ours ?? file.theirs;
  const planned: PlannedFile = {
    ...named(file),
    status: 'conflict',
    reason: clash.description,
    isDeleted: false,
    ...(entry && { mode: entry.mode }),
    ...(typeof texts !== 'string' && entry && { marked: { id: entry.id } }),
  };
  return { file: planned, conflicts: [conflictOf(file, clash)] };
}

async function mergeTexts(file: FileCase, texts: CaseTexts, context: FileContext): Promise<FileResult> {
  const { base, ours, theirs, encoding } = texts;
  if (!base || !ours || !theirs) return refused(file, texts, otherThanText(file, 'a side is missing'));
  const merge = await mergeFile({ base, ours, theirs }, context);
  const content = (text: string): PlannedContent => ({ text: texts.restore(text), encoding });
  const dependencies = dependencyConflicts(file, { base, ours, theirs }, merge);
  // Edits of one symbol that do not touch are both in a text that is clean.
  const apart = merge.text === undefined ? [] : context.open.filter(({ mayMerge }) => mayMerge);
  const open = [...context.open.filter((one) => !apart.includes(one)), ...dependencies];
  const conflicts = [...dependencies, ...textConflicts(file, merge, open)];
  if (merge.text !== undefined && open.length === 0)
    return { file: { ...merged(file, merge.reason), content: content(merge.text) }, conflicts };
  const reason = open[0]?.description ?? merge.reason;
  const planned = { ...merged(file, reason), status: 'conflict' as const, marked: content(merge.marked) };
  return { file: planned, conflicts };
}

interface Texts {
  base: FileVersion;
  ours: FileVersion;
  theirs: FileVersion;
}

function dependencyConflicts(
  file: FileCase,
  { base, ours, theirs }: Texts,
  merge: FileMerge,
): MergeConflict[] {
  const clashes = dependencyClashes(file.path, base.text, ours.text, theirs.text);
  return clashes.map(({ name, ours: mine = 'removed', theirs: other = 'removed' }) =>
    conflictOf(file, {
      kind: 'dependency_conflict',
      symbols: [`${file.path}::${name}`],
      description: `Both sides want ${name} in other versions: ${mine} and ${other}.`,
      recommendation: 'Choose the version that satisfies both, and renew lock files afterwards.',
      ours: mine,
      theirs: other,
      isTextual: !merge.areLinesClean,
    }),
  );
}

function whatMeets({ areLinesClean, linesWrong, reason }: FileMerge): string {
  if (!areLinesClean) return 'both sides changed the same lines';
  return linesWrong === undefined ? reason : `if its lines were merged, ${linesWrong}`;
}

/** Lines in conflict that no symbol explains, or that were resolved; and lines that merge into something wrong. */
function textConflicts(file: FileCase, merge: FileMerge, open: readonly Meeting[]): MergeConflict[] {
  if (merge.areLinesClean && merge.text !== undefined && merge.linesWrong === undefined) return [];
  const isResolved = merge.text !== undefined;
  const explained = new Set(open.flatMap(({ symbols }) => symbols));
  const symbols = merge.lineConflicts.map((name) => `${file.path}::${name}`);
  if (!isResolved && explained.size > 0 && symbols.every((symbol) => explained.has(symbol))) return [];
  return [
    conflictOf(file, {
      kind: 'text_conflict',
      symbols: symbols.length > 0 ? symbols : [file.path],
      description: `In ${file.path}, ${whatMeets(merge)}.`,
      recommendation: isResolved
        ? 'The changes are in different symbols; both are kept.'
        : 'Merge the marked lines by hand.',
      isResolved,
      isTextual: !merge.areLinesClean,
    }),
  ];
}
