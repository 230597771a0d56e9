/**
 * Addresses of symbols: `src/user.py::User.save`, `src/user.py::import::os`, or `src/user.py` for the whole file. Paths
 * have slashes and begin at the root of the repository. Pure.
 */
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';

/** What an address is made of. */
export interface AddressParts {
  readonly path: string;
  /** Undefined for the whole file. */
  readonly name: string | undefined;
}

/** How two addresses meet. */
export type Overlap = 'same' | 'contains';

/** More characters than this no address has. */
export const maxAddressLength = 1024;

const separator = '::';
const importPrefix = 'import::';
const allowed = `<path>::<qualified name>, or a path, relative to the root of the repository, of at most ${maxAddressLength} characters`;

/** Taken apart as it is, without a check. */
export function addressParts(address: string): AddressParts {
  const at = address.indexOf(separator);
  return at < 0
    ? { path: address, name: undefined }
    : { path: address.slice(0, at), name: address.slice(at + separator.length) };
}

/** The reverse of `addressParts`. */
export function addressOf(path: string, name: string | undefined): string {
  return name === undefined ? path : path + separator + name;
}

/** Whether both stand for the same, or one for something that holds the other: a file its symbols, a class its methods. */
export function overlaps(a: string, b: string): Overlap | undefined {
  if (a === b) return 'same';
  const [one, other] = [addressParts(a), addressParts(b)];
  if (one.path !== other.path) return undefined;
  if (one.name === undefined || other.name === undefined) return 'contains';
  return holds(one.name, other.name) || holds(other.name, one.name) ? 'contains' : undefined;
}

/** Names of what is imported have dots of their own, which hold nothing. */
function holds(outer: string, inner: string): boolean {
  return inner.startsWith(`${outer}.`) && !outer.startsWith(importPrefix);
}

/**
 * One name for one thing: without `.` and empty parts in its path.
 * @throws StompError INVALID_REQUEST
 */
export function normalAddress(field: string, value: unknown): string {
  if (!isLine(value, maxAddressLength)) return refuse(field, value, `${allowed}, without control characters`);
  const { path, name } = addressParts(value);
  checkName(field, value, name);
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

function checkName(field: string, value: string, name: string | undefined): void {
  if (name === undefined) return;
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
