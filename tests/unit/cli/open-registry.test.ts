import { expect, it } from 'vitest';
import { readAliases } from '../../../ts/cli/open-registry.js';

it('aliases are pairs', () => {
  expect(readAliases('')).toEqual({});
  expect(readAliases('gpt-4o=smollm2-135m, big = /models/b.gguf ,')).toEqual({
    'gpt-4o': 'smollm2-135m',
    big: '/models/b.gguf',
  });
});

it.each(['a', 'a=', '=b', 'a=b=c'])('%s is none', (text) => {
  expect(() => readAliases(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
});
