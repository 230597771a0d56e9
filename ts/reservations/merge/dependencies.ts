/** Which version of what a manifest asks for. Pure. */

type Reader = (text: string) => Map<string, string>;

const readers: readonly [pattern: RegExp, read: Reader][] = [
  [/(^|\/)package\.json$/, readPackageJson],
  [/(^|\/)pyproject\.toml$/, readPyproject],
  [/(^|\/)requirements[^/]*\.txt$/, readRequirements],
  [/(^|\/)go\.mod$/, readGoMod],
];

export interface DependencyClash {
  readonly name: string;
  /** Undefined: taken out. */
  readonly ours: string | undefined;
  readonly theirs: string | undefined;
}

/** Dependencies for which both sides want something else than the base, and not the same. */
export function dependencyClashes(
  path: string,
  base: string,
  ours: string,
  theirs: string,
): readonly DependencyClash[] {
  const read = readers.find(([pattern]) => pattern.test(path))?.[1];
  if (!read) return [];
  const [b, o, t] = [read(base), read(ours), read(theirs)];
  const names = [...new Set([...b.keys(), ...o.keys(), ...t.keys()])];
  const clashes = names.map((name) => ({ name, base: b.get(name), ours: o.get(name), theirs: t.get(name) }));
  const isClash = (one: (typeof clashes)[number]) =>
    one.ours !== one.theirs && one.ours !== one.base && one.theirs !== one.base;
  return clashes
    .filter(isClash)
    .map(({ name, ours: mine, theirs: other }) => ({ name, ours: mine, theirs: other }));
}

function readPackageJson(text: string): Map<string, string> {
  const found = new Map<string, string>();
  const manifest = parseObject(text);
  for (const section of ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']) {
    const entries = manifest[section];
    if (typeof entries !== 'object' || entries === null) continue;
    for (const [name, version] of Object.entries(entries)) found.set(`${section}.${name}`, String(version));
  }
  return found;
}

/** What is no JSON is in conflict as a text, or wrong on one side already. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

const requirement = /^([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*((?:[=<>!~]=?|===|@).*)?$/;

function readRequirements(text: string): Map<string, string> {
  const lines = text.split('\n').map((line) => line.replace(/(^|\s)#.*/, '').trim());
  return new Map(lines.flatMap(readRequirement));
}

function readRequirement(line: string): [string, string][] {
  const found = requirement.exec(line);
  return found ? [[normal(found[1]), (found[2] ?? '').trim()]] : [];
}

function normal(name: string | undefined): string {
  return (name ?? '').toLowerCase().replace(/[-_.]+/g, '-');
}

/** Both forms: requirements in lists of strings, and a table of names and versions. */
function readPyproject(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let table = '';
  for (const line of text.split('\n').map((one) => one.trim())) {
    table = /^\[+([^\]]+)\]+\s*$/.exec(line)?.[1] ?? table;
    for (const [name, version] of requirementsIn(line, table)) found.set(name, version);
  }
  return found;
}

function requirementsIn(line: string, table: string): [string, string][] {
  if (/^tool\.poetry.*dependencies$/.test(table)) {
    const pair = /^"?([A-Za-z0-9][\w.-]*)"?\s*=\s*(.+)$/.exec(line);
    return pair ? [[normal(pair[1]), pair[2] ?? '']] : [];
  }
  const isList = ['project', 'project.optional-dependencies', 'dependency-groups'].includes(table);
  if (!isList) return [];
  const strings = [...line.matchAll(/(["'])(.*?)\1/g)].map((one) => one[2] ?? '');
  return strings.filter((one) => /[=<>!~@]/.test(one)).flatMap(readRequirement);
}

function readGoMod(text: string): Map<string, string> {
  const lines = text.split('\n').map((line) => line.replace(/\/\/.*/, '').trim());
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const found = /^(?:require\s+)?([\w.-]+\.[\w./~-]+)\s+(v\S+)$/.exec(line);
      return found ? [[found[1] ?? '', found[2] ?? '']] : [];
    }),
  );
}
