/** Where one side uses what the other side took away or changed the signature of. Pure. */
import path from 'node:path/posix';
import { lastName } from '../symbols/address.js';
import type { CallSite, CodeSymbol } from '../symbols/symbols.js';
import { addressOf, type FilePair, type Place, type SideChanges } from './symbol-changes.js';
import type { FileVersion } from './version.js';

/** A symbol of one side, and the symbol of the base that it uses. */
export interface Use {
  /** Address; the file itself for calls outside of symbols, and for imports. */
  readonly user: string;
  readonly path: string;
  readonly line: number | undefined;
}

/** Uses of `target` that one side has and the base had not. */
export function newUses(target: Place, pairs: readonly FilePair[]): Use[] {
  return pairs.flatMap(({ base, side }) => {
    if (!side || !canMean(side, target)) return [];
    return [...newImports(target, base, side), ...newCalls(target, base, side)];
  });
}

function newImports(target: Place, base: FileVersion | undefined, side: FileVersion): Use[] {
  const imports = (version: FileVersion | undefined) =>
    version?.known.imports.some(
      (one) => one.imported === target.symbol.name && names(one.module, version, target),
    );
  return imports(side) && !imports(base) ? [{ user: side.path, path: side.path, line: undefined }] : [];
}

function newCalls(target: Place, base: FileVersion | undefined, side: FileVersion): Use[] {
  const counts = (version: FileVersion | undefined, symbol?: CodeSymbol) =>
    (symbol ? symbol.calls : (version?.known.calls ?? [])).filter((call) => isCall(call, target)).length;
  const callers: Use[] = [];
  for (const symbol of side.symbols.values()) {
    // Calls of members are theirs.
    if (side.members(symbol.name).length > 0) continue;
    const before = base?.symbols.get(symbol.name);
    if (counts(side, symbol) <= (before ? counts(base, before) : 0)) continue;
    callers.push(useOf(side, symbol, target));
  }
  if (counts(side) > counts(base)) callers.push({ user: side.path, path: side.path, line: undefined });
  return callers;
}

function useOf(side: FileVersion, symbol: CodeSymbol, target: Place): Use {
  const line = symbol.calls.find((call) => isCall(call, target))?.line;
  return { user: addressOf({ version: side, symbol }), path: side.path, line };
}

/** Symbols that a side added or edited and that call `target`. */
export function touchedCallers(target: Place, changes: SideChanges): Use[] {
  const all = [...changes.ofBase.values(), ...changes.added.values()];
  const touched = all.filter((one) => one.isEdited && one.to).flatMap(({ to }) => (to ? [to] : []));
  return touched
    .filter(
      ({ version, symbol }) => canMean(version, target) && symbol.calls.some((call) => isCall(call, target)),
    )
    .filter(({ version, symbol }) => version.members(symbol.name).length === 0)
    .map(({ version, symbol }) => useOf(version, symbol, target));
}

function isCall(call: CallSite, { symbol }: Place): boolean {
  const isMember = symbol.name.includes('.');
  return call.name === lastName(symbol.name) && (!isMember || call.receiver !== '');
}

/** A file can mean the symbol when it holds it, imports from its file, or shares a package with it. */
function canMean(version: FileVersion, target: Place): boolean {
  const own = target.version.path;
  if (version.path === own) return true;
  if (version.symbols.has(target.symbol.name)) return false;
  const isPackage = version.known.language === 'go' && path.dirname(version.path) === path.dirname(own);
  return isPackage || version.known.imports.some(({ module }) => names(module, version, target));
}

/** Whether a module, as written, may be the file: its last parts are those of the path. */
function names(module: string, from: FileVersion, target: Place): boolean {
  const file = target.version.path.replace(/\.\w+$/, '').replace(/\/(index|__init__)$/, '');
  if (/^\.{1,2}\//.test(module)) {
    const resolved = path.join(path.dirname(from.path), module).replace(/\.\w+$/, '');
    return resolved.replace(/\/index$/, '') === file;
  }
  const parts = module.split(/[./]/).filter((part) => part !== '');
  const tail = parts.join('/');
  const isGo = target.version.known.language === 'go';
  const place = isGo ? path.dirname(target.version.path) : file;
  const last = place.split('/').at(-1);
  return tail !== '' && (place === tail || place.endsWith(`/${tail}`) || (isGo && parts.at(-1) === last));
}
