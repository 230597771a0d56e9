/** Addresses: `<path>::<qualified name>` for a symbol, `<path>` alone for a whole file. */

export interface AddressParts {
  readonly path: string;
  /** Empty for the whole file. */
  readonly name: string;
}

const separator = '::';
const importPrefix = 'import::';

export function addressOf(path: string, name: string): string {
  return name === '' ? path : `${path}${separator}${name}`;
}

export function splitAddress(address: string): AddressParts {
  const at = address.indexOf(separator);
  if (at < 0) return { path: address, name: '' };
  return { path: address.slice(0, at), name: address.slice(at + separator.length) };
}

/** Whether `inner` names something inside of `outer`: a member of a class, a symbol of a file. */
export function contains(outer: string, inner: string): boolean {
  const a = splitAddress(outer);
  const b = splitAddress(inner);
  if (a.path !== b.path || a.name === b.name) return false;
  return a.name === '' || b.name.startsWith(`${a.name}.`);
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
  return `${importPrefix}${local}`;
}
