/** Keys in SQL. */
import type { SqlValue } from '../storage/storage.js';
import { directoriesOf, isDirectory } from './keys.js';

export interface Place {
  readonly where: string;
  readonly params: readonly SqlValue[];
}

/** A condition on the column `key`: those that may stand for something in common with one of these. */
export function around(keys: Iterable<string>): Place {
  const all = [...keys];
  const exact = new Set(all.flatMap((key) => [key, ...directoriesOf(key)]));
  const below = all.filter(isDirectory);
  const parts = [
    `key IN (${Array.from(exact, () => '?').join(', ')})`,
    ...below.map(() => '(key >= ? AND key < ?)'),
  ];
  // The character after `/` is `0`.
  const ranges = below.flatMap((key) => [key, `${key.slice(0, -1)}0`]);
  return { where: `(${parts.join(' OR ')})`, params: [...exact, ...ranges] };
}
