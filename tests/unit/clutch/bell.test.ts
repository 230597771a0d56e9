import { expect, it } from 'vitest';
import { Bells } from '../../../ts/clutch/bell.js';

const never = new AbortController().signal;

it('a wait that ends late takes nothing from one that has begun since', async () => {
  const bells = new Bells();
  const [one, two] = [bells.listen('a', never), bells.listen('a', never)];
  bells.ring('a');
  one.end();
  const three = bells.listen('a', never);
  two.end();
  bells.ring('a');
  await three.told;
});

it('ends with its signal, and hears no other name', async () => {
  const bells = new Bells();
  const over = new AbortController();
  let isTold = false;
  const { told } = bells.listen('a', over.signal);
  void told.then(() => {
    isTold = true;
  });
  bells.ring('b');
  await Promise.resolve();
  expect(isTold).toBe(false);
  over.abort();
  await told;
  await bells.listen('a', over.signal).told;
});
