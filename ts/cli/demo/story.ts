/** What the demo tells: the turns, and the table of what each of them cost. Pure. */
import type { Usage } from '../../engine/types.js';
import { type Column, table } from '../table.js';
import { formatMs } from '../units.js';

/** Where the beginning of a prompt came from. */
export type How = 'cold' | 'shared prefix' | 'returning' | 'restored from disk';

export interface Row {
  readonly agent: string;
  readonly round: number;
  readonly usage: Usage;
}

/** The source that gave the most. */
export function howOf(usage: Usage): How {
  if (usage.cachedTokens === 0) return 'cold';
  const sources: [number, How][] = [
    [usage.restoredTokens, 'restored from disk'],
    [usage.ownTokens, 'returning'],
    [usage.sharedTokens, 'shared prefix'],
  ];
  return sources.reduce((most, source) => (source[0] > most[0] ? source : most))[1];
}

const COLUMNS: readonly Column[] = [
  { title: 'AGENT' },
  { title: 'ROUND', align: 'right' },
  { title: 'HOW' },
  { title: 'FIRST TOKEN', align: 'right' },
  { title: 'COMPUTED', align: 'right' },
  { title: 'REUSED', align: 'right' },
  { title: 'SPEED-UP', align: 'right' },
];

/** @param rows the first of which began cold: the others are compared with it. */
export function storyTable(rows: readonly Row[]): string {
  const coldMs = rows[0]?.usage.firstTokenMs ?? 0;
  return table(
    COLUMNS,
    rows.map(({ agent, round, usage }) => [
      agent,
      String(round),
      howOf(usage),
      formatMs(usage.firstTokenMs),
      String(usage.computedTokens),
      String(usage.cachedTokens),
      speedUp(coldMs, usage.firstTokenMs),
    ]),
  );
}

export const legend = `FIRST TOKEN is the wait for the first word of the answer; COMPUTED and REUSED count the prompt's tokens.
cold                nothing was in the cache: the whole prompt was computed
shared prefix       another agent had computed the same team guide before
returning           the agent's own conversation was still in memory
restored from disk  the process had been ended and started anew; the conversation came from its file`;

function speedUp(coldMs: number, ms: number): string {
  if (ms <= 0) return '';
  const factor = coldMs / ms;
  return `${factor.toFixed(factor < 10 ? 1 : 0)}x`;
}
