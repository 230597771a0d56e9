/**
 * Reads a JSON object field by field: every field has a type and a range, and what nobody asked for is
 * refused by name. Null counts as absent, as clients of chat APIs send it. One per request.
 */
import { suggestion } from '../config/nearest.js';
import { StompError } from '../errors.js';

export interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly integer?: boolean;
}

/** Says of a value whether it asks for nothing beyond what is served. */
export type Neutral = (value: unknown) => boolean;

export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #known = new Set<string>();
  readonly #refused = new Set<string>();

  /**
   * @param path where the object lies in the body, for messages; empty for the body itself.
   * @throws StompError INVALID_REQUEST when `value` is not an object.
   */
  constructor(value: unknown, path = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      const what = path === '' ? 'The body' : path;
      throw new StompError('INVALID_REQUEST', `${what} must be a JSON object, not ${describe(value)}.`, {
        fields: { field: path === '' ? 'body' : path, allowed: 'an object' },
      });
    }
    this.#object = value as Record<string, unknown>;
    this.#path = path;
  }

  /** The field's name as a client would look for it: `messages[0].role`. */
  name(field: string): string {
    return this.#path === '' ? field : `${this.#path}.${field}`;
  }

  /** The value as it came; undefined when absent or null. */
  raw(field: string): unknown {
    this.#known.add(field);
    return Object.hasOwn(this.#object, field) ? (this.#object[field] ?? undefined) : undefined;
  }

  text(field: string): string | undefined {
    const value = this.raw(field);
    if (value === undefined || typeof value === 'string') return value;
    throw this.invalid(field, value, 'a text');
  }

  flag(field: string): boolean | undefined {
    const value = this.raw(field);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.invalid(field, value, 'true or false');
  }

  number(field: string, range: NumberRange): number | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    const fits = typeof value === 'number' && value >= range.min && value <= range.max;
    if (fits && (!range.integer || Number.isInteger(value))) return value;
    const kind = range.integer ? 'an integer' : 'a number';
    throw this.invalid(field, value, `${kind} from ${range.min} to ${range.max}`);
  }

  choice<T extends string>(field: string, allowed: readonly T[]): T | undefined {
    const value = this.raw(field);
    if (value === undefined || allowed.includes(value as T)) return value as T | undefined;
    throw this.invalid(field, value, `one of ${allowed.map((word) => JSON.stringify(word)).join(', ')}`);
  }

  array(field: string): readonly unknown[] | undefined {
    const value = this.raw(field);
    if (value === undefined || Array.isArray(value)) return value;
    throw this.invalid(field, value, 'a list');
  }

  /** One text or a list of them. */
  texts(field: string): readonly string[] | undefined {
    const value = this.raw(field);
    if (value === undefined) return undefined;
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (list.every((entry) => typeof entry === 'string')) return list as readonly string[];
    throw this.invalid(field, value, 'a text or a list of texts');
  }

  /**
   * Fields of the protocol that are not served. A value that changes nothing is let through, so that
   * clients which always send `n: 1` or `tools: null` work.
   * @throws StompError UNSUPPORTED_FIELD
   */
  refuse(unsupported: Readonly<Record<string, Neutral>>): void {
    for (const [field, isNeutral] of Object.entries(unsupported)) {
      const value = this.raw(field);
      this.#refused.add(field);
      if (value === undefined || isNeutral(value)) continue;
      throw this.unsupported(field);
    }
  }

  unsupported(field: string, what = ''): StompError {
    const name = this.name(field);
    return new StompError('UNSUPPORTED_FIELD', `"${name}"${what} is not supported; leave it out.`, {
      fields: { field: name },
    });
  }

  /** Call last. @throws StompError INVALID_REQUEST for a field that was never asked for. */
  end(): void {
    for (const field of Object.keys(this.#object)) {
      if (this.#known.has(field)) continue;
      const name = this.name(field.slice(0, 100));
      const allowed = [...this.#known].filter((known) => !this.#refused.has(known));
      throw new StompError(
        'INVALID_REQUEST',
        `"${name}" is not a known field.${suggestion(field, allowed)}`,
        {
          fields: { field: name, allowed: allowed.join(', ') },
        },
      );
    }
  }

  invalid(field: string, value: unknown, allowed: string): StompError {
    const name = this.name(field);
    return new StompError('INVALID_REQUEST', `"${name}" must be ${allowed}, not ${describe(value)}.`, {
      fields: { field: name, value: isScalar(value) ? value : describe(value), allowed },
    });
  }

  missing(field: string, allowed: string): StompError {
    const name = this.name(field);
    return new StompError('INVALID_REQUEST', `"${name}" is missing; it must be ${allowed}.`, {
      fields: { field: name, allowed },
    });
  }
}

function isScalar(value: unknown): boolean {
  return (
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    (typeof value === 'string' && value.length <= 100)
  );
}

/** Short, and without the text of a prompt: messages may end up in logs. */
function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return value.length <= 40 ? JSON.stringify(value) : 'a longer text';
  return value === undefined ? 'nothing' : `an ${typeof value}`;
}
