/** The query of a URL as arguments of a tool. Pure. */
import { type ObjectSchema, snakeCase } from '../../tools/parameters.js';
import { argumentsFromWords } from '../../tools/words.js';

/** @param query as the server has parsed it: lists by repetition or commas, `meta.KEY=value` for objects */
export function queryArguments(
  schema: ObjectSchema,
  query: Readonly<Record<string, string | readonly string[]>>,
): Record<string, unknown> {
  const words = new Map<string, readonly string[]>();
  for (const [written, value] of Object.entries(query)) {
    const values = typeof value === 'string' ? [value] : value;
    const dot = written.indexOf('.');
    const name = snakeCase(dot < 0 ? written : written.slice(0, dot));
    const key = dot < 0 ? undefined : written.slice(dot + 1);
    const named = key === undefined ? values : values.map((one) => `${key}=${one}`);
    words.set(name, [...(words.get(name) ?? []), ...named]);
  }
  return argumentsFromWords(schema, words);
}
