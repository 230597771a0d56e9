/** Blocks of a pool as cells of a map. Pure. */
import type { PoolGroup } from './panel-types.js';

export type Cell = 'used' | 'cached' | 'free';

/**
 * At most so many cells, each for as many blocks. What there is at all has one, so that a single used block of a large
 * pool is seen.
 */
export function cellsOf({ capacity, free, cached }: PoolGroup, most: number): Cell[] {
  const total = Math.min(most, capacity);
  const share = (blocks: number) =>
    blocks <= 0 ? 0 : Math.max(1, Math.round((blocks / Math.max(1, capacity)) * total));
  const used = Math.min(total, share(capacity - free - cached));
  const kept = Math.min(total - used, share(cached));
  return [
    ...Array<Cell>(used).fill('used'),
    ...Array<Cell>(kept).fill('cached'),
    ...Array<Cell>(total - used - kept).fill('free'),
  ];
}
