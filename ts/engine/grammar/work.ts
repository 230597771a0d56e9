/**
 * Work on one form, counted in steps and not in time, so that what is refused is the same on every machine. A step is
 * one or two microseconds: a node that is written, an arc that is found, a schema that is compared.
 */
import { StompError } from '../../errors.js';

/** Steps that one form may take, which is less than a second. Schemas that people write take thousands. */
export const maxSteps = 300_000;

export class Work {
  readonly #limit: number;
  readonly #refusal: (where: string) => Error;
  #spent = 0;
  /** What is worked on, for the refusal. */
  where = 'form';

  /** @param refusal what is thrown beyond the limit. */
  constructor(limit = maxSteps, refusal: (where: string) => Error = tooHard) {
    this.#limit = limit;
    this.#refusal = refusal;
  }

  get spent(): number {
    return this.#spent;
  }

  /** @param where what the steps are for, where that is known more exactly. */
  spend(steps: number, where = this.where): void {
    this.#spent += steps;
    if (this.#spent > this.#limit) throw this.#refusal(where);
  }

  /** Takes back all that came after `spent`. */
  restore(spent: number): void {
    this.#spent = spent;
  }
}

/** What is refused that would cost too much. */
export function tooHard(where: string): StompError {
  return new StompError(
    'INVALID_REQUEST',
    `"${where}" asks for too much at once; use shorter patterns, smaller bounds on lengths and numbers, or fewer choices.`,
    { fields: { field: where, limit: 'steps', maximum: maxSteps } },
  );
}
