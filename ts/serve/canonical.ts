/** JSON in one spelling, so that equal values have equal texts: names in order, no space between. Pure. */
import { parseJsonBody } from './json-body.js';

/** REQUIRES: `value` came out of JSON of bounded depth. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => (isObject(member) ? inOrder(member) : member));
}

/** The same for JSON text; text that is none, or is nested too deeply, stays as it is but for space around it. */
export function canonicalJsonText(text: string): string {
  try {
    return canonicalJson(parseJsonBody(text) ?? {});
  } catch {
    return text.trim();
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function inOrder(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
