/**
 * Git's own merge against the plan. There is more than one way to say how one text became another, and two files of
 * different names may be one; where git does not see the plan's way, the plan must not go on alone.
 */
import type { GitMerge } from '../git/merge-tree.js';
import type { CaseTexts } from './file-cases.js';
import type { LoadedCase } from './plan-file.js';
import type { MergeConflict, PlannedContent, PlannedFile } from './types.js';
import type { FileVersion } from './version.js';

export interface Planned {
  readonly files: readonly PlannedFile[];
  readonly conflicts: readonly MergeConflict[];
}

/** The plan with every conflict of git in it: as open, unless the plan tells how it dealt with it. */
export async function reconsidered(
  planned: Planned,
  loaded: readonly LoadedCase[],
  git: GitMerge,
): Promise<Planned> {
  let { files, conflicts } = planned;
  for (const path of git.conflicts ?? []) {
    const file = files.find((one) => one.path === path) ?? files.find(({ oldPath }) => oldPath === path);
    const isOfFile = (one: MergeConflict) => isAbout(one, path) || one.path === file?.path;
    if (conflicts.some((one) => isOfFile(one) && (one.isTextual || isDealtWith(one)))) {
      conflicts = conflicts.map((one) => (isOfFile(one) && isDealtWith(one) ? textual(one) : one));
      continue;
    }
    const found = loaded.find((one) => one.file.path === file?.path)?.texts;
    const texts = typeof found === 'string' ? undefined : found;
    if (file?.content && texts?.isRestyled) {
      conflicts = [...conflicts, restyled(file.path)];
      continue;
    }
    const refusal = await refused(path, file, texts, git);
    files = [...files.filter((one) => one !== file), refusal.file];
    conflicts = [...conflicts, refusal.conflict];
  }
  return { files: [...files].sort((a, b) => (a.path < b.path ? -1 : 1)), conflicts };
}

function isAbout({ kind, path, symbols, ours, theirs }: MergeConflict, name: string): boolean {
  // Git puts what cannot lie at its place beside it, under a name with a mark: `lib~main` for a file that meets a folder.
  const place = name.replace(/~[^/]*$/, '');
  const isAtPlace = path === name || path === place || path.startsWith(`${place}/`);
  const isOneOfTwoNames = kind === 'file_conflict' && (ours === name || theirs === name);
  if (kind === 'file_conflict' && isAtPlace) return true;
  return path === name || isOneOfTwoNames || symbols.some((symbol) => symbol.startsWith(`${name}::`));
}

/** An edit that was carried to where its symbol went: git knows nothing of that. */
function isDealtWith({ kind, isResolved }: MergeConflict): boolean {
  return isResolved && (kind === 'move_edit' || kind === 'rename_edit');
}

function textual(conflict: MergeConflict): MergeConflict {
  return { ...conflict, isTextual: true };
}

const changed = { kind: 'text_conflict', ours: 'changed', theirs: 'changed', isTextual: true } as const;

function restyled(path: string): MergeConflict {
  return {
    ...changed,
    path,
    symbols: [path],
    description: `The sides of ${path} end their lines in different ways, so that every line differs.`,
    recommendation: 'The changes of both sides are kept, with the line ends of the side that changed them.',
    isResolved: true,
  };
}

async function refused(
  path: string,
  file: PlannedFile | undefined,
  texts: CaseTexts | undefined,
  git: GitMerge,
): Promise<{ file: PlannedFile; conflict: MergeConflict }> {
  const bytes = await git.marked(path);
  const marked = bytes && contentOf(bytes);
  const names = marked && texts ? namesIn(marked.text, [texts.ours, texts.theirs]) : [];
  const at = file?.path ?? path;
  const description = `Git does not see how the sides of ${path} go together.`;
  const { content: _content, ...rest } = file ?? { path };
  return {
    file: {
      ...rest,
      status: 'conflict',
      reason: description,
      isDeleted: false,
      ...(marked && { marked }),
    },
    conflict: {
      ...changed,
      path: at,
      symbols: names.length > 0 ? names.map((name) => `${at}::${name}`) : [at],
      description,
      recommendation: 'Merge the marked lines by hand.',
      isResolved: false,
    },
  };
}

function contentOf(bytes: Buffer): Extract<PlannedContent, { text: string }> {
  const text = bytes.toString('utf8');
  const isUtf8 = Buffer.from(text, 'utf8').equals(bytes);
  return isUtf8 ? { text, encoding: 'utf8' } : { text: bytes.toString('latin1'), encoding: 'latin1' };
}

/** Symbols in which the marked lines lie on each side. */
function namesIn(marked: string, sides: readonly (FileVersion | undefined)[]): string[] {
  const names = new Set<string>();
  for (const [, ...parts] of marked.matchAll(/^<{7} .*\n([\s\S]*?)^={7}\n([\s\S]*?)^>{7} /gm)) {
    parts.forEach((part, i) => {
      for (const name of namesAt(part, sides[i])) names.add(name);
    });
  }
  return [...names];
}

function namesAt(part: string, version: FileVersion | undefined): string[] {
  const place = part === '' ? -1 : (version?.text.indexOf(part) ?? -1);
  if (!version || place < 0) return [];
  const first = version.text.slice(0, place).split('\n').length - 1;
  return version.symbolsAt(first, first + part.split('\n').length - 1).map(({ name }) => name);
}
