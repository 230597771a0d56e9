import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressOf, overlaps, splitAddress } from '../../../ts/reservations/symbols/address.js';
import { normalAddress } from '../../../ts/reservations/symbols/given-address.js';

describe('an address', () => {
  it.each([
    ['src/a.py::User.save', 'src/a.py::User.save'],
    ['./src//a.py::f', 'src/a.py::f'],
    ['src/./a.py', 'src/a.py'],
    ['a.py::import::os.path', 'a.py::import::os.path'],
    ['dir with space/ä.ts::f#2', 'dir with space/ä.ts::f#2'],
  ])('%s is known as %s', (given, normal) => {
    expect(normalAddress('address', given)).toBe(normal);
  });

  it.each([
    '',
    '/etc/passwd::f',
    'C:/a.py',
    '../a.py',
    'src/../../a.py::f',
    'src\\a.py::f',
    'src/::f',
    'src/',
    '.',
    '::f',
    'a.py::',
    'a.py:: f',
    'a.py::import::',
    'a.py::f::g',
    'a.py::import::f::g',
    'a.py::f\n',
    'a.py\0::f',
    'a.py::\u202ef',
    'a.py::\ud800',
    'x'.repeat(1025),
    7,
    null,
  ])('%j is refused, with the field named', (given) => {
    expect(() => normalAddress('addresses[3]', given)).toThrowError(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        fields: expect.objectContaining({ field: 'addresses[3]' }),
      }),
    );
  });

  it('once normal stays as it is', () => {
    const part = fc.stringMatching(/^[a-z.]{1,6}$/).filter((it) => it !== '..' && it !== '.');
    const path = fc
      .array(fc.oneof(part, fc.constant('.')), { minLength: 1 })
      .map((it) => [...it, 'f'].join('/'));
    fc.assert(
      fc.property(path, fc.option(part, { nil: '' }), (a, name) => {
        const normal = normalAddress('address', addressOf(a, name));
        expect(normalAddress('address', normal)).toBe(normal);
        expect(splitAddress(normal).name).toBe(name);
      }),
    );
  });
});

describe('two addresses', () => {
  it.each([
    ['a.py::f', 'a.py::f', 'same'],
    ['a.py', 'a.py', 'same'],
    ['a.py', 'a.py::f', 'contains'],
    ['a.py::User', 'a.py::User.save', 'contains'],
    ['a.py::User', 'a.py::User.Inner.save', 'contains'],
    ['a.py::User', 'a.py::UserList', undefined],
    ['a.py::User#2', 'a.py::User.save', undefined],
    ['a.py::User.save', 'a.py::User.load', undefined],
    ['a.py::f', 'b.py::f', undefined],
    ['src', 'src/a.py', undefined],
    ['a.py::import::os', 'a.py::import::os.path', undefined],
  ])('%s and %s meet in either order: %s', (a, b, how) => {
    expect(overlaps(a, b)).toBe(how);
    expect(overlaps(b, a)).toBe(how);
  });
});
