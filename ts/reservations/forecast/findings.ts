/** Gathers conflicts: of several between the same agents about the same addresses the surest one stays. */
import { type Conflict, type ConflictType, conflictTypes } from '../types.js';
import { type Claim, compare } from './claims.js';

/** How sure it is that such a conflict comes to pass. */
export const confidences: Readonly<Record<ConflictType, number>> = {
  address_overlap: 1,
  containment_overlap: 0.95,
  operation_conflict: 0.9,
  signature_dependency: 0.85,
  blast_radius_overlap: 0.75,
  file_overlap: 0.4,
};

export class Findings {
  readonly #found = new Map<string, Conflict>();

  /** Claims of one agent are no conflict. */
  add(
    conflictType: ConflictType,
    a: Claim,
    b: Claim,
    description: string,
    callPath?: readonly string[],
  ): void {
    if (a.agent === b.agent) return;
    const addresses = [...new Set([a.address, b.address])].sort(compare);
    this.#keep(this.#id(conflictType, a, b), {
      conflictType,
      addresses,
      agents: [a.label, b.label].sort(compare),
      confidence: confidences[conflictType],
      description,
      ...(callPath === undefined ? {} : { callPath }),
    });
  }

  /** About a whole file; each list is one agent's. */
  addFile(path: string, a: readonly Claim[], b: readonly Claim[]): void {
    const open = a.flatMap((one) => b.filter((other) => !this.#has(one, other)).map((other) => [one, other]));
    const [first] = open;
    const [one, other] = first ?? [];
    if (one === undefined || other === undefined) return;
    const agents = [one.label, other.label].sort(compare);
    const addresses = [...new Set(open.flat().map(({ address }) => address))].sort(compare);
    this.#found.set(`file ${pair(one.agentAt, other.agentAt)} ${path}`, {
      conflictType: 'file_overlap',
      addresses,
      agents,
      confidence: confidences.file_overlap,
      description: `${agents.join(' and ')} work on different symbols of ${path}.`,
    });
  }

  /** The surest first; the order does not depend on that of what was announced. */
  sorted(): Conflict[] {
    const rated = [...this.#found.values()].map((conflict) => ({
      conflict,
      place: conflictTypes.indexOf(conflict.conflictType),
      words: JSON.stringify([conflict.addresses, conflict.agents]),
    }));
    rated.sort((a, b) => a.place - b.place || compare(a.words, b.words));
    return rated.map(({ conflict }) => conflict);
  }

  #has(a: Claim, b: Claim): boolean {
    return this.#found.has(this.#id('address_overlap', a, b));
  }

  /** What two agents do to each other stands beside where they meet. */
  #id(type: ConflictType, a: Claim, b: Claim): string {
    const family = type === 'operation_conflict' ? 'operations' : 'places';
    return `${family} ${pair(a.agentAt, b.agentAt)} ${pair(a.keyAt, b.keyAt)}`;
  }

  #keep(id: string, conflict: Conflict): void {
    const known = this.#found.get(id);
    if (known === undefined || isBetter(conflict, known)) this.#found.set(id, conflict);
  }
}

function pair(a: number, b: number): string {
  return a < b ? `${a},${b}` : `${b},${a}`;
}

/** Surer, or more directly so; of equals always the same one. */
function isBetter(a: Conflict, b: Conflict): boolean {
  if (a.confidence !== b.confidence) return a.confidence > b.confidence;
  const [steps, others] = [a.callPath?.length ?? 0, b.callPath?.length ?? 0];
  return steps === others ? a.description < b.description : steps < others;
}
