import { describe, expect, it } from 'vitest';
import { aliasNames } from '../../../ts/config/alias-names.js';
import { resolveSettings } from '../../../ts/config/resolve.js';

const resolved = (env: Record<string, string>) =>
  resolveSettings({ command: 'serve', env, cwd: '/nowhere', packageRoot: '/nowhere' }).settings.modelAlias;

describe('other names of the model', () => {
  it('are none unless they are given', () => {
    expect(resolved({})).toBeUndefined();
  });

  it('are separated by commas, and may end in a *', () => {
    const text = resolved({ STOMP_MODEL_ALIAS: 'claude-*, gpt-4o,,' }) ?? '';
    expect(aliasNames(text)).toEqual(['claude-*', 'gpt-4o']);
  });

  it.each(['*-opus', 'claude-*,a*b', '**'])('are refused with a * elsewhere: %s', (text) => {
    expect(() => resolved({ STOMP_MODEL_ALIAS: text })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        fields: expect.objectContaining({ field: 'model-alias' }),
      }),
    );
  });
});
