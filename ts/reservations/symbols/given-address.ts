/** Addresses as people and files give them: checked, and made one name for one thing. */
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { addressOf, importPrefix, separator, splitAddress } from './address.js';

/** More characters than this no address has. */
export const maxAddressLength = 1024;

const allowed = `<path>::<qualified name>, or a path, relative to the root of the repository, of at most ${maxAddressLength} characters`;

/**
 * One name for one thing: without `.` and empty parts in its path.
 * @throws StompError INVALID_REQUEST
 */
export function normalAddress(field: string, value: unknown): string {
  if (!isLine(value, maxAddressLength)) return refuse(field, value, `${allowed}, without control characters`);
  const { path, name } = splitAddress(value);
  if (value.length > path.length) checkName(field, value, name);
  return addressOf(normalPath(field, value, path), name);
}

/** As `normalAddress`, for what others have written: what cannot be made normal stays as it is, and meets only itself. */
export function readAddress(address: string): string {
  try {
    return normalAddress('address', address);
  } catch (error) {
    if (error instanceof StompError) return address;
    throw error;
  }
}

/**
 * Each once, in the order given.
 * @throws StompError INVALID_REQUEST
 */
export function normalAddresses(field: string, values: unknown, most: number): string[] {
  const fits = Array.isArray(values) && values.length > 0 && values.length <= most;
  if (!fits) return refuse(field, values, `a list of 1 to ${most} addresses`);
  return [...new Set(values.map((value, i) => normalAddress(`${field}[${i}]`, value)))];
}

/** Text of one line that comes back from UTF-8 as it was. */
export function isLine(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxLength && !unfit.test(value);
}

// Beside control characters those that end a line or change the direction of what follows: they make one address look
// like another.
const unfit = /[\p{Cc}\p{Surrogate}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u;

function checkName(field: string, value: string, name: string): void {
  const own = name.startsWith(importPrefix) ? name.slice(importPrefix.length) : name;
  if (own.trim() === '' || own.trim() !== own) refuse(field, value, 'an address with a name after its ::');
  if (own.includes(separator)) refuse(field, value, 'an address with :: only before its qualified name');
}

function normalPath(field: string, value: string, path: string): string {
  if (/^(\/|[A-Za-z]:)/.test(path)) refuse(field, value, `${allowed}; this path is absolute`);
  if (path.includes('\\')) refuse(field, value, `${allowed}, with forward slashes`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse(field, value, `${allowed}, without ..`);
  if (parts.length === 0 || path.endsWith('/')) refuse(field, value, `${allowed}; a file must be named`);
  return parts.join('/');
}
