/** What a parser could not make sense of, and whether the symbols around it can be trusted. */
import type { Node } from '@vscode/tree-sitter-wasm';

export interface Damage {
  readonly line: number;
  /**
   * Inside of a function's body nobody else's boundaries are at stake. Anywhere else the parser may have begun or ended
   * a symbol where the author did not.
   */
  readonly isContained: boolean;
}

/** @param functions kinds of nodes with a `body` that code runs in. */
export function damageIn(root: Node, functions: readonly string[]): Damage[] {
  const found: Damage[] = [];
  const open = [root].filter(isDamaged);
  for (let node = open.pop(); node; node = open.pop()) {
    if (node.isError || node.isMissing) found.push(damageAt(node, functions));
    else open.push(...node.children.filter((child) => child !== null).filter(isDamaged));
  }
  return found.sort((a, b) => a.line - b.line);
}

function isDamaged(node: Node): boolean {
  return node.hasError || node.isMissing;
}

function damageAt(node: Node, functions: readonly string[]): Damage {
  // What is missing may be the bracket that ends the function.
  const isContained = !node.isMissing && isInBody(node, functions);
  return { line: node.startPosition.row + 1, isContained };
}

function isInBody(node: Node, functions: readonly string[]): boolean {
  for (let around = node.parent; around; around = around.parent) {
    if (!functions.includes(around.type)) continue;
    const body = around.childForFieldName('body');
    if (body && body.startIndex < node.startIndex && node.endIndex < around.endIndex) return true;
  }
  return false;
}
