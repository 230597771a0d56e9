/** In which order to merge several branches, so that those without conflicts are in before those with them. */
import { StompError } from '../../errors.js';
import { cancelled } from '../git/git.js';
import { Objects } from '../git/objects.js';
import type { Repository } from '../git/repository.js';
import type { Warning } from '../types.js';
import { planMerge } from './plan.js';
import type { MergeConflict, MergePlan, MergeSide } from './types.js';
import type { SymbolsOf } from './version.js';

export interface ReconcileOptions {
  /** Names of branches or other refs; every local branch that is not merged yet. */
  readonly branches?: readonly string[] | undefined;
  /** What they are merged into; the branch that is checked out. */
  readonly into?: string | undefined;
  readonly symbolsOf: SymbolsOf;
  readonly signal?: AbortSignal | undefined;
}

/** Open conflicts of two branches, or of a branch and what it is merged into. */
export interface Pair {
  readonly ours: string;
  readonly theirs: string;
  readonly conflicts: readonly MergeConflict[];
}

export interface ReconcileStep {
  readonly branch: string;
  readonly commit: string;
  /** Open conflicts with what is merged by then. */
  readonly conflicts: number;
  /** With which of those before it. */
  readonly conflictsWith: readonly string[];
  readonly reason: string;
}

export interface Reconciliation {
  readonly into: MergeSide;
  readonly order: readonly ReconcileStep[];
  readonly pairs: readonly Pair[];
  readonly skipped: readonly { readonly branch: string; readonly reason: string }[];
  readonly warnings: readonly Warning[];
}

// Every two of them are planned.
const maxBranches = 40;

/** @throws StompError UNKNOWN_REF, INVALID_REQUEST, GIT_FAILED, CANCELLED */
export async function reconcile(repository: Repository, options: ReconcileOptions): Promise<Reconciliation> {
  const { into, sides, skipped } = await candidates(repository, options);
  const all = [into, ...sides];
  const pairs: Pair[] = [];
  const stacked = new Map<string, Set<string>>();
  const warnings = new Map<string, Warning>();
  for (const [i, ours] of all.entries()) {
    for (const theirs of all.slice(i + 1)) {
      if (options.signal?.aborted) throw cancelled(options.signal);
      const plan = await planMerge(repository, ours.commit, theirs.commit, options);
      pairs.push({ ours: ours.ref, theirs: theirs.ref, conflicts: openOf(plan) });
      noteStack(stacked, plan, ours.ref, theirs.ref);
      for (const one of plan.warnings) warnings.set(`${one.subject}\n${one.reason}`, one);
    }
  }
  return {
    into,
    order: ordered(into, sides, pairs, stacked),
    pairs,
    skipped,
    warnings: [...warnings.values()],
  };
}

function openOf({ conflicts }: MergePlan): MergeConflict[] {
  return conflicts.filter(({ isResolved }) => !isResolved);
}

interface Candidates {
  readonly into: MergeSide;
  readonly sides: readonly MergeSide[];
  readonly skipped: { branch: string; reason: string }[];
}

async function candidates(repository: Repository, options: ReconcileOptions): Promise<Candidates> {
  const objects = new Objects(repository, options.signal);
  try {
    const target = options.into ?? 'HEAD';
    const shown = options.into ?? repository.branch;
    const into = { ref: shown, commit: await objects.commit(target) };
    const names = options.branches ?? (await objects.branches()).map(({ name }) => name);
    const sides: MergeSide[] = [];
    const skipped: { branch: string; reason: string }[] = [];
    for (const ref of [...new Set(names)].filter((name) => name !== shown).sort()) {
      // A tag may have the name of a branch; of all branches, the branch is meant.
      const commit = await objects.commit(options.branches ? ref : `refs/heads/${ref}`);
      const [base] = await objects.mergeBases(into.commit, commit);
      if (base === commit) skipped.push({ branch: ref, reason: `It is in ${shown} already.` });
      else sides.push({ ref, commit });
    }
    checkCount(sides.length);
    return { into, sides, skipped };
  } finally {
    objects.close();
  }
}

function checkCount(count: number): void {
  if (count <= maxBranches) return;
  const message = `${count} branches are too many to plan every two of them; name at most ${maxBranches}.`;
  throw new StompError('INVALID_REQUEST', message, {
    fields: { field: 'branches', value: count, allowed: maxBranches },
  });
}

/** A branch that another one was begun from goes before it. */
function noteStack(stacked: Map<string, Set<string>>, plan: MergePlan, ours: string, theirs: string): void {
  if (plan.ours.commit === plan.theirs.commit) return;
  const add = (upper: string, lower: string) => stacked.set(upper, new Set(stacked.get(upper)).add(lower));
  if (plan.base === plan.ours.commit) add(theirs, ours);
  if (plan.base === plan.theirs.commit) add(ours, theirs);
}

/** Next is always whoever has the fewest conflicts with what is in; then with what is to come; then by name. */
function ordered(
  into: MergeSide,
  sides: readonly MergeSide[],
  pairs: readonly Pair[],
  stacked: ReadonlyMap<string, ReadonlySet<string>>,
): ReconcileStep[] {
  const count = (a: string, b: string) =>
    pairs.find(({ ours, theirs }) => (ours === a && theirs === b) || (ours === b && theirs === a))?.conflicts
      .length ?? 0;
  const sum = (branch: string, others: readonly string[]) =>
    others.reduce((total, other) => total + count(branch, other), 0);
  const merged = [into.ref];
  const waiting = [...sides];
  const steps: ReconcileStep[] = [];
  while (waiting.length > 0) {
    const rest = waiting.map(({ ref }) => ref);
    const isFree = ({ ref }: MergeSide) => !rest.some((other) => stacked.get(ref)?.has(other));
    const ranked = waiting
      .filter(isFree)
      .map((side) => ({ side, now: sum(side.ref, merged), later: sum(side.ref, rest) }))
      .sort((a, b) => a.now - b.now || a.later - b.later || (a.side.ref < b.side.ref ? -1 : 1));
    const next = ranked[0];
    if (!next) break;
    const conflictsWith = merged.filter((other) => count(next.side.ref, other) > 0);
    steps.push({
      branch: next.side.ref,
      commit: next.side.commit,
      conflicts: next.now,
      conflictsWith,
      reason: reasonFor(conflictsWith, next.now, next.later),
    });
    waiting.splice(waiting.indexOf(next.side), 1);
    merged.push(next.side.ref);
  }
  return steps;
}

function reasonFor(conflictsWith: readonly string[], now: number, later: number): string {
  const rest = later > 0 ? ` ${counted(later)} with branches after it.` : '';
  if (conflictsWith.length === 0) return `No conflicts with what is merged before it.${rest}`;
  return `${counted(now)} with ${conflictsWith.join(', ')}; no branch that is left has fewer.${rest}`;
}

function counted(conflicts: number): string {
  return `${conflicts} conflict${conflicts === 1 ? '' : 's'}`;
}
