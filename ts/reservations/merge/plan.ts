/** Plans a merge of one commit into another, symbol by symbol, without writing anything. */
import { cancelled } from '../git/git.js';
import { GitMerge } from '../git/merge-tree.js';
import { Objects, type Tree } from '../git/objects.js';
import type { Repository } from '../git/repository.js';
import { languageOf } from '../symbols/languages.js';
import type { Warning } from '../types.js';
import { type Carried, carriedEdits, replaced, replacements } from './carry.js';
import { type FileCase, fileCases, isSame, readTexts } from './file-cases.js';
import { type FileContext, type LoadedCase, planFile } from './plan-file.js';
import { type Planned, reconsidered } from './second-opinion.js';
import { type FilePair, symbolChanges } from './symbol-changes.js';
import { type BothChanges, type BothPairs, brokenUses, type Meeting, meetings } from './symbol-conflicts.js';
import {
  type MergeConflict,
  type MergePlan,
  type MergeSide,
  mergeConflictKinds,
  type PlannedFile,
} from './types.js';
import type { OldNames } from './unit-merge.js';
import { FileVersion, type SymbolsOf } from './version.js';

export interface PlanOptions {
  /** In place of the common ancestor. */
  readonly base?: string | undefined;
  readonly symbolsOf: SymbolsOf;
  readonly signal?: AbortSignal | undefined;
}

/** What merging `theirs` into `ours` comes to. @throws StompError UNKNOWN_REF, INVALID_REQUEST, GIT_FAILED, CANCELLED */
export async function planMerge(
  repository: Repository,
  ours: string,
  theirs: string,
  options: PlanOptions,
): Promise<MergePlan> {
  const objects = new Objects(repository, options.signal);
  try {
    const sides = {
      ours: { ref: ours, commit: await objects.commit(ours) },
      theirs: { ref: theirs, commit: await objects.commit(theirs) },
    };
    return await new Planner(objects, sides, options).plan();
  } finally {
    objects.close();
  }
}

interface Sides {
  readonly ours: MergeSide;
  readonly theirs: MergeSide;
}

class Planner {
  readonly #objects: Objects;
  readonly #sides: Sides;
  readonly #options: PlanOptions;
  readonly #warnings: Warning[] = [];

  constructor(objects: Objects, sides: Sides, options: PlanOptions) {
    this.#objects = objects;
    this.#sides = sides;
    this.#options = options;
  }

  async plan(): Promise<MergePlan> {
    const base = await this.#base();
    const loaded = await this.#load(await this.#cases(base));
    const pairs: BothPairs = { ours: pairsOf(loaded, 'ours'), theirs: pairsOf(loaded, 'theirs') };
    const changes: BothChanges = { ours: symbolChanges(pairs.ours), theirs: symbolChanges(pairs.theirs) };
    const carried = carriedEdits(changes.ours, changes.theirs);
    const met = meetings(changes, carried);
    const merged = await this.#files(loaded, changes, carried, met, base);
    const told = met.filter((one) => !isTold(one, merged.conflicts));
    const all = [
      ...merged.conflicts,
      ...told.map((one) => asConflict(one, merged.files)),
      ...collide(merged.files),
    ];
    const planned = { files: merged.files, conflicts: all };
    const { files, conflicts } = await this.#reconsidered(planned, loaded, base);
    const used = brokenUses(changes, pairs).map((draft) => ({ ...draft, isTextual: false }));
    const found = sorted([...conflicts, ...used]);
    const open = found.filter(({ isResolved }) => !isResolved);
    return {
      base: base ?? null,
      ...this.#sides,
      files,
      conflicts: found,
      order: [...new Set(open.map(({ path }) => path))],
      warnings: this.#warnings,
    };
  }

  async #base(): Promise<string | undefined> {
    if (this.#options.base !== undefined) return this.#objects.commit(this.#options.base);
    const { ours, theirs } = this.#sides;
    const bases = await this.#objects.mergeBases(ours.commit, theirs.commit);
    if (bases.length === 0) this.#warn('history', this.#noBaseReason());
    if (bases.length > 1)
      this.#warn('history', `There are ${bases.length} common ancestors; ${bases[0]} is taken as the base.`);
    return bases[0];
  }

  #noBaseReason(): string {
    const none = 'The two have no common ancestor; whatever differs is in conflict.';
    const isShallow = this.#objects.repository.isShallow;
    return isShallow ? `${none} The clone is shallow: \`git fetch --unshallow\` may bring one.` : none;
  }

  #warn(subject: string, reason: string): void {
    this.#warnings.push({ subject, reason });
  }

  async #cases(base: string | undefined): Promise<FileCase[]> {
    const { ours, theirs } = this.#sides;
    const empty: Tree = { entries: new Map(), warnings: [] };
    const trees = [
      base === undefined ? empty : await this.#objects.tree(base),
      await this.#objects.tree(ours.commit),
      await this.#objects.tree(theirs.commit),
    ];
    for (const { subject, reason } of trees.flatMap(({ warnings }) => warnings)) this.#warn(subject, reason);
    const none = new Map<string, string>();
    const renames = {
      ours: base === undefined ? none : await this.#objects.renames(base, ours.commit),
      theirs: base === undefined ? none : await this.#objects.renames(base, theirs.commit),
    };
    const [b = empty, o = empty, t = empty] = trees;
    return fileCases(b, o, t, renames);
  }

  async #load(cases: readonly FileCase[]): Promise<LoadedCase[]> {
    const loaded: LoadedCase[] = [];
    for (const file of cases) {
      this.#checkSignal();
      const texts = await readTexts(file, this.#objects, this.#options.symbolsOf);
      loaded.push({ file, texts });
      this.#warnOfProblem({ file, texts });
    }
    return loaded;
  }

  #warnOfProblem({ file, texts }: LoadedCase): void {
    // Nobody expects symbols of a text that is no code.
    if (typeof texts === 'string' || languageOf(file.path) === undefined) return;
    const problem = [texts.ours, texts.theirs].map((version) => version?.known.problem).find(Boolean);
    if (problem !== undefined) this.#warn(file.path, `${problem} It is merged as a whole.`);
  }

  #checkSignal(): void {
    if (this.#options.signal?.aborted) throw cancelled(this.#options.signal);
  }

  async #files(
    loaded: readonly LoadedCase[],
    changes: BothChanges,
    carried: readonly Carried[],
    met: readonly Meeting[],
    base: string | undefined,
  ): Promise<{ files: PlannedFile[]; conflicts: MergeConflict[] }> {
    const files: PlannedFile[] = [];
    const conflicts: MergeConflict[] = [];
    const { ours, theirs } = this.#sides;
    const labels = { ours: ours.ref, base: base?.slice(0, 10) ?? 'nothing', theirs: theirs.ref };
    for (const one of loaded) {
      this.#checkSignal();
      const { isCarried, texts } = await this.#carry(one, carried);
      const context: FileContext = {
        symbolsOf: this.#options.symbolsOf,
        open: met.filter(({ path, isResolved }) => !isResolved && path === one.file.path),
        oldNames: oldNamesIn(one, changes),
        isCarried,
        labels,
      };
      const result = await planFile({ file: one.file, texts }, context);
      files.push(result.file);
      conflicts.push(...result.conflicts);
    }
    return { files, conflicts };
  }

  /** Git is not asked about a base of the caller's, nor where it would find none. */
  async #reconsidered(
    planned: Planned,
    loaded: readonly LoadedCase[],
    base: string | undefined,
  ): Promise<Planned> {
    if (this.#options.base !== undefined || base === undefined) return planned;
    const { ours, theirs } = this.#sides;
    const { repository } = this.#objects;
    const git = await GitMerge.of(repository, ours.commit, theirs.commit, this.#options.signal);
    try {
      if (!git.conflicts)
        this.#warn('git', 'This git is older than 2.38 and was not asked for a merge of its own.');
      return await reconsidered(planned, loaded, git);
    } finally {
      await git.close();
    }
  }

  /** The texts with edits taken from, or brought to, where symbols have gone. */
  async #carry(
    { texts }: LoadedCase,
    carried: readonly Carried[],
  ): Promise<{ isCarried: boolean; texts: LoadedCase['texts'] }> {
    if (typeof texts === 'string') return { isCarried: false, texts };
    const all = replacements(carried);
    const next = async (version: FileVersion | undefined) => {
      const text = version && replaced(version, all);
      return text === undefined
        ? version
        : FileVersion.read(version?.path ?? '', text, this.#options.symbolsOf);
    };
    const [ours, theirs] = [await next(texts.ours), await next(texts.theirs)];
    return { isCarried: ours !== texts.ours || theirs !== texts.theirs, texts: { ...texts, ours, theirs } };
  }
}

function pairsOf(loaded: readonly LoadedCase[], side: 'ours' | 'theirs'): FilePair[] {
  return loaded.flatMap(({ file, texts }) => {
    const isUntouched = isSame(file.base, file[side]);
    return typeof texts === 'string' || isUntouched ? [] : [{ base: texts.base, side: texts[side] }];
  });
}

function oldNamesIn({ texts }: LoadedCase, changes: BothChanges): OldNames {
  const of = (side: 'ours' | 'theirs') => {
    const version = typeof texts === 'string' ? undefined : texts[side];
    const inFile = [...changes[side].ofBase.values()].filter(
      ({ to, kind }) => kind === 'renamed' && to?.version === version,
    );
    return new Map(inFile.map(({ from, to }) => [to?.symbol.name ?? '', from?.symbol.name ?? '']));
  };
  return { ours: of('ours'), theirs: of('theirs') };
}

/** Files that would lie at one place, or under one another. */
function collide(files: readonly PlannedFile[]): MergeConflict[] {
  const there = files.filter(({ isDeleted }) => !isDeleted);
  const paths = new Map<string, number>();
  for (const { path } of there) paths.set(path, (paths.get(path) ?? 0) + 1);
  const isUnder = (path: string) => parents(path).some((folder) => paths.has(folder));
  const wrong = [...paths].filter(([path, count]) => count > 1 || isUnder(path));
  return wrong.map(([path]) => ({
    kind: 'file_conflict',
    path,
    symbols: [path],
    description: `Two files would lie at ${path}, or one under the other.`,
    recommendation: 'Give one of the two another name.',
    ours: 'put there',
    theirs: 'put there',
    isResolved: false,
    isTextual: true,
  }));
}

function parents(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join('/'));
}

function asConflict({ mayMerge, ...draft }: Meeting, files: readonly PlannedFile[]): MergeConflict {
  const file = files.find(({ path }) => path === draft.path);
  const marked = file?.marked;
  const isTextual = marked !== undefined && 'text' in marked && marked.text.includes('<<<<<<< ');
  if (!mayMerge || file?.status !== 'merged') return { ...draft, isTextual };
  const recommendation = 'Both edits are kept, in different lines; see that they belong together.';
  return { ...draft, recommendation, isResolved: true, isTextual };
}

/** What is said of a whole file need not be said of each of its symbols. */
function isTold({ kind, path }: Meeting, ofFiles: readonly MergeConflict[]): boolean {
  return ofFiles.some((one) => one.kind === kind && one.path === path);
}

function sorted(conflicts: readonly MergeConflict[]): MergeConflict[] {
  // What is dealt with comes last.
  const rank = ({ kind, isResolved }: MergeConflict) =>
    mergeConflictKinds.indexOf(kind) + (isResolved ? mergeConflictKinds.length : 0);
  const key = ({ path, symbols }: MergeConflict) => `${path}\n${symbols.join('\n')}`;
  return [...conflicts].sort((a, b) => rank(a) - rank(b) || (key(a) < key(b) ? -1 : 1));
}
