/**
 * Addresses of symbols: `src/user.py::User.save`, `src/user.py::import::os`, or `src/user.py` for the whole file. Paths
 * have slashes and begin at the root of the repository.
 */

/** What an address is made of. */
export interface AddressParts {
  readonly path: string;
  /** Empty for the whole file. */
  readonly name: string;
}

/** How two addresses meet. */
export type Overlap = 'same' | 'contains';

export const separator = '::';
export const importPrefix = 'import::';

export function addressOf(path: string, name: string): string {
  return name === '' ? path : path + separator + name;
}

/** The reverse of `addressOf`. */
export function splitAddress(address: string): AddressParts {
  const at = address.indexOf(separator);
  if (at < 0) return { path: address, name: '' };
  return { path: address.slice(0, at), name: address.slice(at + separator.length) };
}

/** Whether both stand for the same, or one for something that holds the other. */
export function overlaps(a: string, b: string): Overlap | undefined {
  if (a === b) return 'same';
  return contains(a, b) || contains(b, a) ? 'contains' : undefined;
}

/** Whether `inner` names something inside of `outer`: a member of a class, a symbol of a file. */
export function contains(outer: string, inner: string): boolean {
  const a = splitAddress(outer);
  const b = splitAddress(inner);
  if (a.path !== b.path || a.name === b.name) return false;
  return a.name === '' || (b.name.startsWith(`${a.name}.`) && !a.name.startsWith(importPrefix));
}

/** The address of what is directly around it; undefined for a file. */
export function containerOf(address: string): string | undefined {
  const { path, name } = splitAddress(address);
  if (name === '') return undefined;
  // What is imported may have dots in its own name.
  const dot = name.startsWith(importPrefix) ? -1 : name.lastIndexOf('.');
  return addressOf(path, dot < 0 ? '' : name.slice(0, dot));
}

/** The last part of a qualified name, without the number of a twin: `save` of `User.save#2`. */
export function lastName(name: string): string {
  if (name.startsWith(importPrefix)) return name.slice(importPrefix.length);
  return name.slice(name.lastIndexOf('.') + 1).replace(/#\d+$/, '');
}

export function importName(local: string): string {
  return importPrefix + local;
}
