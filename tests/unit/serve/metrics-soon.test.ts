import { expect, it } from 'vitest';
import { soon } from '../../../ts/serve/metrics.js';

it('a figure that nobody answers with is given up soon, so that the others are had', async () => {
  expect(await soon(Promise.resolve(7))).toBe(7);
  await expect(soon(Promise.reject(new Error('refused')))).rejects.toThrow('refused');
  await expect(soon(new Promise(() => undefined))).rejects.toThrow('no answer');
});
