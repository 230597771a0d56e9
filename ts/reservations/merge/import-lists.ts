/** Statements that import a list of names from one module. Pure. */

interface ImportList {
  readonly before: string;
  readonly names: readonly string[];
  readonly after: string;
  /** What stands around and between the names, to be written as it was. */
  readonly open: string;
  readonly separator: string;
  readonly close: string;
}

const braced = /^(\s*(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?)\{([^{}/]*)\}(\s*from\s*[^\n]*\s*)$/;
const fromModule = /^(\s*from\s+\S+\s+import\s+)(\(?)([^()#\\*]*)(\)?)(\s*)$/;

/** Tells statements apart by what they import from, not by the names in their lists. */
export function importKey(text: string): string {
  const list = readList(text);
  if (!list) return `import ${text.trim().replace(/\s+/g, ' ')}`;
  return `import ${list.before.trim()} … ${list.after.trim().replace(/;$/, '')}`;
}

/** Both sides' names: those of ours in their order, then what theirs added. @returns undefined when it is no list. */
export function uniteImports(base: string, ours: string, theirs: string): string | undefined {
  const [b, o, t] = [readList(base), readList(ours), readList(theirs)];
  if (!b || !o || !t) return undefined;
  const kept = o.names.filter((name) => t.names.includes(name) || !b.names.includes(name));
  const added = t.names.filter((name) => !b.names.includes(name) && !o.names.includes(name));
  return written({ ...o, names: [...kept, ...added] });
}

function written({ before, names, after, open, separator, close }: ImportList): string {
  return `${before}${open}${names.join(separator)}${close}${after}`;
}

function readList(text: string): ImportList | undefined {
  const brace = braced.exec(text);
  if (brace) return listOf(brace[1] ?? '', '{', brace[2] ?? '', '}', brace[3] ?? '');
  const from = fromModule.exec(text);
  if (from) return listOf(from[1] ?? '', from[2] ?? '', from[3] ?? '', from[4] ?? '', from[5] ?? '');
  return undefined;
}

function listOf(before: string, left: string, inner: string, right: string, after: string): ImportList {
  const parts = inner.split(',').map((name) => name.trim());
  const names = parts.filter((name) => name !== '');
  const head = /^\s*/.exec(inner)?.[0] ?? '';
  // A comma behind the last name stays.
  const tail = /(\s*,)?\s*$/.exec(inner)?.[0] ?? '';
  const separator = head.includes('\n') ? `,${head}` : ', ';
  return { before, names, after, open: left + head, separator, close: tail + right };
}
