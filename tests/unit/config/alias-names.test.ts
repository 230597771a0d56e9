/** Further names of models, as one setting holds them. */
import { describe, expect, it } from 'vitest';
import { aliasNames, modelAliases, refuseAliases } from '../../../ts/config/alias-names.js';

describe('further names of models', () => {
  it('belong to whichever model is loaded, or to a certain one', () => {
    const text = 'claude-*, gpt-4o=smollm2-135m, big = /models/b.gguf ,mine';
    expect(aliasNames(text)).toEqual(['claude-*', 'mine']);
    expect(modelAliases(text)).toEqual({ 'gpt-4o': 'smollm2-135m', big: '/models/b.gguf' });
    expect(refuseAliases(text)).toBeUndefined();
  });

  it('are none in an empty text', () => {
    expect([aliasNames(''), modelAliases('')]).toEqual([[], {}]);
  });

  it.each(['=model', 'name=', 'a=b=c', 'a*=b', 'cl*ude', '**'])(
    'are refused where they are none: %s',
    (text) => {
      expect(refuseAliases(text)).toEqual(expect.any(String));
    },
  );
});
