/** Operations that undo each other, wherever text could still be merged. */
import type { Operation } from '../types.js';
import type { Claim, Claims } from './claims.js';
import type { Findings } from './findings.js';
import { eachPair } from './places.js';

/** Two of the same kind give one thing two names, or two places. */
const exclusive: readonly Operation[] = ['rename', 'move'];
const needs: readonly Operation[] = ['modify', 'rename', 'extract', 'move'];

export function findOperationConflicts(claims: Claims, findings: Findings): void {
  for (const [, same] of claims.keys) {
    eachPair(same, (a, b) => {
      for (const operation of exclusive) {
        const both = a.operations.has(operation) && b.operations.has(operation);
        if (both) add(findings, a, operation, b, operation);
      }
      addDeletion(findings, a, b);
      addDeletion(findings, b, a);
    });
  }
  for (const inner of claims.all) {
    for (const outer of claims.around(inner.key)) addDeletion(findings, outer, inner);
  }
}

/** @param by who may delete what `other` works on, or what that is inside of. */
function addDeletion(findings: Findings, by: Claim, other: Claim): void {
  if (!by.operations.has('delete')) return;
  for (const operation of needs) {
    if (other.operations.has(operation)) add(findings, by, 'delete', other, operation);
  }
}

function add(findings: Findings, a: Claim, of: Operation, b: Claim, against: Operation): void {
  const sides = [`${a.label} will ${of} ${a.address}`, `${b.label} will ${against} ${b.address}`];
  // A deletion comes first; equals come in the same order however they were announced.
  if (of === against) sides.sort();
  findings.add('operation_conflict', a, b, `${sides.join(', while ')}.`);
}
