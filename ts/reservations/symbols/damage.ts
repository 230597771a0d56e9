/** What a parser could not make sense of, and whether the symbols around it can be trusted. */
import type { Node } from '@vscode/tree-sitter-wasm';
import type { FoundSymbol } from './findings.js';

export interface Damage {
  readonly line: number;
  readonly start: number;
  readonly end: number;
  /** The parser made up what is not there. */
  readonly isMissing: boolean;
}

export function damageIn(root: Node): Damage[] {
  const found: Damage[] = [];
  const open = [root].filter(isDamaged);
  for (let node = open.pop(); node; node = open.pop()) {
    if (node.isError || node.isMissing) found.push(damageAt(node));
    else open.push(...node.children.filter((child) => child !== null).filter(isDamaged));
  }
  return found.sort((a, b) => a.start - b.start);
}

function isDamaged(node: Node): boolean {
  return node.hasError || node.isMissing;
}

function damageAt(node: Node): Damage {
  const { startIndex, endIndex, startPosition, isMissing } = node;
  return { line: startPosition.row + 1, start: startIndex, end: endIndex, isMissing };
}

/**
 * Inside of a function nobody else's boundaries are at stake. Anywhere else the parser may have begun or ended a
 * symbol where the author did not.
 */
export function isContained(damage: readonly Damage[], symbols: readonly FoundSymbol[]): boolean {
  const bodies = symbols.filter(({ kind }) => kind === 'function' || kind === 'method');
  return damage.every(
    ({ isMissing, start, end }) =>
      !isMissing &&
      bodies.some(({ bodyStart, span }) => bodyStart !== undefined && bodyStart < start && end < span.end),
  );
}
