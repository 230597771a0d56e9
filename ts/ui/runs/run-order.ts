/** Runs as a list: newest first, and below each those that it has begun. Pure. */
import type { RunWire } from '../../clutch/wire.js';

export interface ListedRun<R extends RunWire> {
  readonly run: R;
  /** 0 for one that a person has begun. */
  readonly depth: number;
}

const deepest = 4;

export function listRuns<R extends RunWire>(runs: readonly R[]): ListedRun<R>[] {
  const known = new Set(runs.map(({ id }) => id));
  const children = new Map<string | undefined, R[]>();
  for (const run of runs) {
    const parent = run.parent_id !== undefined && known.has(run.parent_id) ? run.parent_id : undefined;
    children.set(parent, [...(children.get(parent) ?? []), run]);
  }
  const below = (parent: string | undefined, depth: number): ListedRun<R>[] =>
    (children.get(parent) ?? [])
      .sort((one, other) => order(one, other, parent !== undefined))
      .flatMap((run) => [{ run, depth }, ...below(run.id, Math.min(depth + 1, deepest))]);
  return below(undefined, 0);
}

/** What is at work before what is over; children in the order in which they began. */
function order(one: RunWire, other: RunWire, isChild: boolean): number {
  if (isChild) return one.created_at - other.created_at;
  return Number(isOver(one)) - Number(isOver(other)) || other.created_at - one.created_at;
}

export function isOver({ status }: Pick<RunWire, 'status'>): boolean {
  return status === 'done' || status === 'error' || status === 'aborted';
}

export function titleOf({ prompt, tickets, id }: RunWire): string {
  const line = prompt.trim().split('\n', 1)[0] ?? '';
  if (line !== '') return line;
  return tickets === undefined ? id : `Track of ${tickets.length} tickets`;
}
