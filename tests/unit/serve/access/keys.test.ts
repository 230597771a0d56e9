import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { StompError } from '../../../../ts/errors.js';
import { openKeyFile, parseKeyFile, readKeyFile } from '../../../../ts/serve/access/key-file.js';
import { KeyRing, newKey } from '../../../../ts/serve/access/keys.js';
import { until } from '../harness.js';

const folder = mkdtempSync(join(tmpdir(), 'stomp-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const a = 'a-key-that-is-long-enough';
const b = 'b-key-that-is-long-enough';

function failure(act: () => unknown): StompError {
  try {
    act();
  } catch (error) {
    return error as StompError;
  }
  throw new Error('it did not fail');
}

describe('a ring of keys', () => {
  it('finds the caller of a key and of no other', () => {
    const ring = new KeyRing([
      { role: 'user', key: a, name: 'ann' },
      { role: 'admin', key: b },
    ]);
    expect(ring.find(a)).toMatchObject({ role: 'user', name: 'ann' });
    expect(ring.find(b)).toMatchObject({ role: 'admin', name: undefined });
    for (const wrong of ['', a.slice(1), `${a} `, a.toUpperCase(), b + a])
      expect(ring.find(wrong)).toBeUndefined();
  });

  it('knows what it was given, whatever it was given', () => {
    const key = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
      minLength: 16,
      maxLength: 80,
    });
    fc.assert(
      fc.property(fc.uniqueArray(key, { minLength: 2, maxLength: 20 }), ([missing = '', ...keys]) => {
        const ring = new KeyRing(keys.map((key) => ({ role: 'user', key })));
        expect(keys.every((key) => ring.find(key)?.role === 'user')).toBe(true);
        expect(ring.find(missing)).toBeUndefined();
      }),
    );
  });

  it('forgets keys that were replaced, and keeps them when the new ones are wrong', () => {
    const ring = new KeyRing([{ role: 'user', key: a }]);
    expect(() => ring.replace([{ role: 'user', key: 'short' }])).toThrow();
    expect(ring.find(a)).toBeDefined();
    ring.replace([{ role: 'user', key: b }]);
    expect(ring.find(a)).toBeUndefined();
    expect(ring.find(b)).toBeDefined();
  });

  it.each([
    ['no key', []],
    ['a short key', [{ role: 'user' as const, key: 'fifteen-letters' }]],
    ['a key with a space', [{ role: 'user' as const, key: 'a key that is long enough' }]],
    ['a key beyond ASCII', [{ role: 'user' as const, key: 'schlüssel-schlüssel' }]],
    ['a role that is none', [{ role: 'king' as never, key: a }]],
    ['a name that is none', [{ role: 'user' as const, key: a, name: 'a b' }]],
    [
      'one key in two roles',
      [
        { role: 'user' as const, key: a },
        { role: 'admin' as const, key: a },
      ],
    ],
  ])('refuses %s and does not show it', (_, keys) => {
    const error = failure(() => new KeyRing(keys));
    expect(error.code).toBe('CONFIG_INVALID');
    for (const { key } of keys) expect(JSON.stringify(error) + error.message).not.toContain(key);
  });

  it('is opened by new keys, which differ', () => {
    const keys = Array.from({ length: 100 }, newKey);
    expect(new Set(keys).size).toBe(100);
    const ring = new KeyRing(keys.map((key) => ({ role: 'approver', key })));
    expect(ring.find(keys[42] ?? '')?.role).toBe('approver');
  });
});

describe('a key file', () => {
  it('has a role, a key and a name on each line, or a key alone for a user', () => {
    const text = `\ufeff# who may call\r\nuser ${a} ann\r\n\r\n  admin\t${b}  \n${a}-2\n # the end\napprover ${b}-2 bob`;
    expect(parseKeyFile(text, 'keys')).toEqual([
      { role: 'user', key: a, name: 'ann' },
      { role: 'admin', key: b },
      { role: 'user', key: `${a}-2` },
      { role: 'approver', key: `${b}-2`, name: 'bob' },
    ]);
  });

  it.each([
    ['nothing', '\n# nobody\n', 'holds no key'],
    ['a role that is none', `\nroot ${a}`, 'line 2 must be: role key [name]'],
    ['too much', `user ${a} ann b`, 'line 1 must be: role key [name]'],
    ['a role alone', 'admin', 'line 1 has a role and no key'],
    ['a short key', `user ${a}\nadmin secret`, 'line 2 cannot be used: it is shorter than 16'],
  ])('with %s is refused by line', (_, text, message) => {
    const error = failure(() => parseKeyFile(text, '/etc/keys'));
    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      fields: { field: 'api-key-file', value: '/etc/keys' },
    });
    expect(error.message).toContain(message);
    expect(error.message).not.toMatch(/secret|a-key/);
  });

  it('never fails but with CONFIG_INVALID', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        try {
          expect(parseKeyFile(text, 'keys').length).toBeGreaterThan(0);
        } catch (error) {
          expect((error as StompError).code).toBe('CONFIG_INVALID');
        }
      }),
    );
  });

  it.skipIf(process.platform === 'win32').each([0o644, 0o604, 0o620, 0o666])(
    'of mode %o is refused, with what to do',
    async (mode) => {
      const path = join(folder, `mode-${mode}`);
      writeFileSync(path, `user ${a}`);
      chmodSync(path, mode);
      await expect(readKeyFile(path)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(`chmod 600 ${path}`) as string,
      });
    },
  );

  it.skipIf(process.platform === 'win32').each([0o600, 0o400, 0o640])('of mode %o is read', async (mode) => {
    const path = join(folder, `mode-${mode}`);
    writeFileSync(path, `user ${a}`);
    chmodSync(path, mode);
    expect(await readKeyFile(path)).toHaveLength(1);
  });

  it('that is a folder, too large, or not there is refused', async () => {
    const large = join(folder, 'large');
    writeFileSync(large, '#'.repeat(2 << 20), { mode: 0o600 });
    mkdirSync(join(folder, 'sub'));
    for (const path of [large, join(folder, 'sub'), join(folder, 'absent')]) {
      await expect(readKeyFile(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
  });

  it('counts anew when it changes, and not when it becomes wrong', async () => {
    const path = join(folder, 'changing');
    writeFileSync(path, `user ${a}\n`, { mode: 0o600 });
    const problems: string[] = [];
    const file = await openKeyFile(path, { onProblem: (error) => problems.push(error.code) });
    try {
      appendFileSync(path, `admin ${b}\n`);
      await until(() => file.keys.find(b)?.role === 'admin', 'the new key counts');
      writeFileSync(path, 'user');
      await until(() => problems.length > 0, 'the problem is told');
      expect(file.keys.find(a)).toBeDefined();
      writeFileSync(path, `user ${b}\n`);
      await until(() => file.keys.find(a) === undefined, 'the old key counts no more');
      expect(file.keys.find(b)?.role).toBe('user');
    } finally {
      file.close();
    }
  });
});
