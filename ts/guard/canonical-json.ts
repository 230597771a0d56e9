/** JSON values in one spelling: equal values have equal texts, wherever they were made. Pure. */
import { refuse } from '../arguments.js';
import { StompError } from '../errors.js';

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

const maxDepth = 64;
// Of the budget: many small values are as much work as few long ones.
const valueCost = 8;
const allowed = `a JSON value nested at most ${maxDepth} deep, without cycles`;

/** How much may still be spelled out, over several values: a small graph of references may be a huge text. */
export class JsonBudget {
  readonly #what: string;
  readonly #limit: number;
  #left: number;

  /** @param limit in characters */
  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
    this.#left = limit;
  }

  /** @throws StompError PAYLOAD_TOO_LARGE */
  spend(characters: number): void {
    this.#left -= characters;
    if (this.#left >= 0) return;
    throw new StompError(
      'PAYLOAD_TOO_LARGE',
      `${this.#what} holds more than ${this.#limit} characters of JSON, of which a value counts as ${valueCost} at least; ` +
        'split it into smaller ones.',
      { fields: { max_characters: this.#limit } },
    );
  }
}

/**
 * Names of members in order, no space between.
 * @throws StompError INVALID_REQUEST for what JSON cannot say; PAYLOAD_TOO_LARGE
 */
export function canonicalJson(field: string, value: unknown, budget: JsonBudget, depth = 0): string {
  if (depth > maxDepth) refuse(field, value, allowed);
  budget.spend(valueCost);
  if (Array.isArray(value)) {
    return `[${Array.from(value, (item) => canonicalJson(field, item, budget, depth + 1)).join(',')}]`;
  }
  if (isPlainObject(value)) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    const texts = members.map(([name, member]) => {
      budget.spend(name.length);
      return `${JSON.stringify(name)}:${canonicalJson(field, member, budget, depth + 1)}`;
    });
    return `{${texts.join(',')}}`;
  }
  return scalar(field, value, budget);
}

function scalar(field: string, value: unknown, budget: JsonBudget): string {
  const fits =
    value === null ||
    typeof value === 'boolean' ||
    typeof value === 'string' ||
    (typeof value === 'number' && Number.isFinite(value));
  if (!fits) refuse(field, value, allowed);
  if (typeof value === 'string') budget.spend(value.length);
  return JSON.stringify(value);
}

/** Of any realm; neither dates nor maps nor instances of classes. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
