import { describe, expect, it } from 'vitest';
import { satisfied } from '../../../scripts/licenses.mjs';
import { findings, maxFileBytes } from '../../../scripts/native/secrets.mjs';

const scan = (text: string) => findings('file', Buffer.from(text));

describe('the search for secrets', () => {
  // Put together here, so that the patterns do not find this file.
  const planted: [string, string][] = [
    ['private key', ['-----BEGIN RSA', 'PRIVATE KEY-----'].join(' ')],
    ['AWS access key', `AKIA${'ABCDEFGH23456777'}`],
    ['GitHub token', `ghp_${'a1B2'.repeat(9)}`],
    ['npm token', `npm_${'a1B2'.repeat(9)}`],
    ['Hugging Face token', `hf_${'aBcD'.repeat(9)}`],
    ['password in a URL', ['postgres://admin', 'hunter22@db.internal/x'].join(':')],
  ];

  it.each(planted)('finds a %s and does not repeat it', (name, secret) => {
    const found = scan(`first line\nkey = "${secret}"\n`);
    expect(found).toEqual([expect.stringMatching(`^file:2: looks like a .*${name}`)]);
    expect(found.join()).not.toContain(secret);
  });

  it('leaves hashes, reserved hosts and binary files alone', () => {
    expect(scan(`sha256 ${'0123456789abcdef'.repeat(4)}`)).toEqual([]);
    expect(scan(['http://user', 'secret@index.test/simple'].join(':'))).toEqual([]);
    expect(scan('postgres://user:password@host/database')).toEqual([]);
    expect(scan(`\0AKIA${'ABCDEFGH23456777'}`)).toEqual([]);
  });

  it('refuses files past the size limit', () => {
    expect(findings('big', Buffer.alloc(maxFileBytes))).toEqual([]);
    expect(findings('big', Buffer.alloc(maxFileBytes + 1))).toEqual([expect.stringContaining('big: ')]);
  });
});

describe('licence expressions', () => {
  const allowed = ['MIT', 'Apache-2.0'];

  it.each([
    ['MIT', true],
    ['GPL-3.0-only', false],
    ['(MIT OR GPL-3.0-only)', true],
    ['MIT AND GPL-3.0-only', false],
    ['(MIT AND Apache-2.0)', true],
    ['none', false],
  ])('%s: %s', (expression, expected) => {
    expect(satisfied(expression, allowed)).toBe(expected);
  });
});
