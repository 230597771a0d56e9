// What does a block cost to allocate?
import { nativeFigures } from '../micro/native.mjs';
import { figure, judged } from './verdict.mjs';

const targetMs = 1;

export const about = {
  question: 'What does it cost to allocate a block of the cache?',
  method:
    'bench/native/core_bench.cc allocates and frees 16,384 blocks of a pool, free ones and such as must be reclaimed from ' +
    'the cache; median of 15 rounds',
  target: `under ${targetMs} ms a block`,
};

export async function run() {
  const names = ['block pool: allocate and free, per block', 'block pool: reclaim a cached block'];
  const found = (await nativeFigures()).filter(({ name }) => names.includes(name));
  if (found.length !== names.length) throw new Error('core_bench no longer measures the block pool');
  const faults = found
    .filter(({ value }) => value >= targetMs * 1e6)
    .map(({ name, value }) => `${name} takes ${value} ns`);
  return judged(
    found.map(({ name, value }) => figure(name, value, 'ns')),
    faults,
  );
}
