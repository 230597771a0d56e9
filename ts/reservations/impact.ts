/** Who is affected when symbols change. Pure. */
import { checkInteger, refuse } from '../arguments.js';
import type { CallGraph, CallStep } from './graph/call-graph.js';
import { splitAddress } from './symbols/address.js';

export interface Affected {
  readonly address: string;
  /** How many calls away. */
  readonly distance: number;
  /** From it to the symbol that changes. */
  readonly path: readonly CallStep[];
}

export interface Impact {
  readonly addresses: readonly string[];
  /** The nearest first. */
  readonly affected: readonly Affected[];
  /** Files that hold them. */
  readonly files: readonly string[];
}

/** Callers of callers count too, up to `depth` calls away. @throws StompError INVALID_REQUEST */
export function impact(graph: CallGraph, addresses: readonly string[], depth?: number): Impact {
  if (!Array.isArray(addresses) || addresses.length === 0)
    refuse('addresses', addresses, 'at least one address');
  const within = checkInteger('depth', depth, 5, { min: 1, max: 100 });
  const own = new Set(addresses);
  const callers = [...graph.callersWithin(addresses, within)].filter(([address]) => !own.has(address));
  const affected = callers
    .map(([address, path]) => ({ address, distance: path.length, path }))
    .sort((a, b) => a.distance - b.distance || (a.address < b.address ? -1 : 1));
  const files = new Set(affected.map(({ address }) => splitAddress(address).path));
  return { addresses, affected, files: [...files].sort() };
}
