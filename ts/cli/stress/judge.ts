/** Whether a run lost anything. Pure. */
import type { Counts, Done } from './scenario.js';

export interface Judgement {
  readonly lost: number;
  readonly problems: readonly string[];
}

/** What was told of one target. */
export type Told = ReadonlyMap<string, number>;

/**
 * Compares what is in a target with what its agents were told. A change that was told must be there; one more may be
 * there of an agent that was killed before it could tell.
 */
export function judgeCounts(
  target: string,
  told: Told,
  counts: Counts,
  killed: ReadonlySet<string>,
): Judgement {
  const problems: string[] = [];
  let lost = 0;
  for (const agent of new Set([...told.keys(), ...Object.keys(counts)])) {
    const known = told.get(agent) ?? 0;
    const found = counts[agent] ?? 0;
    lost += Math.max(0, known - found);
    if (found < known) problems.push(`${target}: ${agent} made ${known} changes, ${found} are there`);
    else if (found > known + (killed.has(agent) ? 1 : 0)) {
      problems.push(`${target}: ${agent} was told of ${known} changes, ${found} are there`);
    }
  }
  return { lost, problems };
}

/** No token is given twice, and nobody holds a key while another does. */
export function judgeTokens(done: readonly Done[]): readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const { key, token } of done.filter(holds)) {
    if (seen.has(token)) problems.push(`${key}: token ${token} was given twice`);
    seen.add(token);
  }
  for (const [before, after] of successors(done)) {
    if (after.acquiredAt >= (before.releasedAt ?? 0)) continue;
    problems.push(`${after.key}: token ${after.token} was held while ${before.token} was`);
  }
  return problems;
}

/** Milliseconds from one holder's release until the next one has the key, of those who were waiting for it. */
export function handOvers(done: readonly Done[]): number[] {
  return successors(done).flatMap(([{ releasedAt = 0 }, { askedAt, acquiredAt }]) =>
    askedAt < releasedAt ? [acquiredAt - releasedAt] : [],
  );
}

/** Where a change is merged it may have been made without holding anything. */
const holds = ({ token }: Done) => token !== '0';

/** Each holder with the next one of the same key. */
function successors(done: readonly Done[]): [Done, Done][] {
  const byKey = new Map<string, Done[]>();
  for (const one of done.filter(holds)) {
    const holders = byKey.get(one.key);
    if (holders) holders.push(one);
    else byKey.set(one.key, [one]);
  }
  return [...byKey.values()].flatMap((holders) => {
    holders.sort((a, b) => Number(BigInt(a.token) - BigInt(b.token)));
    return holders.slice(1).map((after, i): [Done, Done] => [holders[i] as Done, after]);
  });
}
