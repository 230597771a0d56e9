/** Checks of what callers pass in. Every refusal names the field, the value and what is allowed. */
import { StompError } from './errors.js';

/** @throws StompError INVALID_REQUEST */
export function refuse(field: string, value: unknown, allowed: string): never {
  throw new StompError('INVALID_REQUEST', `${field} must be ${allowed}, not ${show(value)}.`, {
    fields: { field, value: shortValue(value), allowed },
  });
}

/** @throws StompError UNSUPPORTED_FIELD, INVALID_REQUEST when `value` is no plain object. */
export function checkFields(what: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(what, value, 'an object');
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw new StompError(
    'UNSUPPORTED_FIELD',
    `${what} knows no field ${JSON.stringify(unknown)}. It knows ${known.join(', ')}.`,
    { fields: { field: unknown, allowed: known } },
  );
}

export interface NumberRule {
  min: number;
  max: number;
  /** The value must be a whole multiple of this one. */
  multipleOf?: number;
  /** `min` itself is not allowed. */
  aboveMin?: boolean;
}

/** Describes what a rule allows, for messages. */
function describe(rule: NumberRule, kind: string): string {
  const multiple = rule.multipleOf ? ` and a multiple of ${rule.multipleOf}` : '';
  const low = rule.aboveMin ? `above ${rule.min}` : `from ${rule.min}`;
  return `${kind} ${low} to ${rule.max}${multiple}`;
}

export function checkInteger(field: string, value: unknown, fallback: number, rule: NumberRule): number {
  if (value === undefined) return fallback;
  const fits =
    Number.isSafeInteger(value) &&
    (value as number) >= rule.min &&
    (value as number) <= rule.max &&
    (value as number) % (rule.multipleOf ?? 1) === 0;
  return fits ? (value as number) : refuse(field, value, describe(rule, 'a whole number'));
}

export function checkNumber(field: string, value: unknown, fallback: number, rule: NumberRule): number {
  if (value === undefined) return fallback;
  const fits =
    typeof value === 'number' &&
    value >= rule.min &&
    value <= rule.max &&
    !(rule.aboveMin && value === rule.min);
  return fits ? value : refuse(field, value, describe(rule, 'a number'));
}

export function checkBoolean(field: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  return typeof value === 'boolean' ? value : refuse(field, value, 'true or false');
}

export function checkText(field: string, value: unknown, fallback: string, maxLength: number): string {
  if (value === undefined) return fallback;
  const fits = typeof value === 'string' && value.length <= maxLength;
  return fits ? value : refuse(field, value, `a text of at most ${maxLength} characters`);
}

export function checkChoice<T extends string>(
  field: string,
  value: unknown,
  fallback: T,
  choices: readonly T[],
): T {
  if (value === undefined) return fallback;
  const found = choices.find((choice) => choice === value);
  return found ?? refuse(field, value, `one of ${choices.join(', ')}`);
}

/**
 * A function to call as an observer: what it throws does not break the work that it observes. It is thrown
 * again on the next tick, as event targets of the platform do.
 */
export function checkObserver<A extends unknown[]>(
  field: string,
  value: ((...args: A) => void) | undefined,
): ((...args: A) => void) | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'function') refuse(field, value, 'a function');
  return (...args) => {
    try {
      value(...args);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  };
}

export function checkSignal(field: string, value: unknown): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  return refuse(field, value, 'an AbortSignal');
}

/** A value as the fields of an error may hold it: as it is when it is small. */
function shortValue(value: unknown): unknown {
  const small = typeof value === 'string' ? value.length <= 80 : typeof value !== 'object';
  return small ? value : show(value);
}

/** A value as a message may quote it: short, on one line, whatever it is. */
function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : plain(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function plain(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
