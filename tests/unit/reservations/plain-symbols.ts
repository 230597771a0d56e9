/** Symbols of plainly written Python and JavaScript: what begins at the left edge, and members of classes. */
import { createHash } from 'node:crypto';
import type {
  CallSite,
  CodeSymbol,
  FileSymbols,
  ImportedName,
  SymbolKind,
} from '../../../ts/reservations/symbols/symbols.js';

const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

interface Draft {
  name: string;
  kind: SymbolKind;
  first: number;
  last: number;
  indent: number;
}

export async function plainSymbols(path: string, text: string): Promise<FileSymbols> {
  const language = /\.py$/.test(path) ? 'python' : /\.(js|ts)$/.test(path) ? 'javascript' : undefined;
  const none = { path, contentId: hash(text), language, symbols: [], imports: [], calls: [] };
  if (language === undefined) return none;
  const lines = text.split('\n');
  if (lines.some((line) => /^(<{7}|>{7}|={7})/.test(line)) || !isBalanced(text))
    return { ...none, problem: 'It cannot be parsed.' };
  const drafts = lines.flatMap((line, i) => draftAt(lines, line, i, language));
  const symbols = named(drafts).map((draft) => symbolOf(lines, draft));
  return { ...none, symbols, imports: lines.flatMap(importsOf) };
}

function isBalanced(text: string): boolean {
  const count = (mark: string) => text.split(mark).length;
  return count('{') === count('}') && count('(') === count(')');
}

function draftAt(lines: string[], line: string, first: number, language: string): Draft[] {
  const indent = /^\s*/.exec(line)?.[0].replace('\r', '').length ?? 0;
  const found = language === 'python' ? pythonName(line) : braceName(line);
  if (!found) return [];
  const last = found.kind === 'import' ? first : endOf(lines, first, indent, language);
  return [{ ...found, first, last, indent }];
}

function pythonName(line: string): { name: string; kind: SymbolKind } | undefined {
  const found = /^\s*(def|class) (\w+)/.exec(line);
  if (found) return { name: found[2] ?? '', kind: found[1] === 'class' ? 'class' : 'function' };
  const imported = /^(?:from \S+ )?import (\w+)/.exec(line);
  return imported ? { name: `import::${imported[1]}`, kind: 'import' } : undefined;
}

function braceName(line: string): { name: string; kind: SymbolKind } | undefined {
  const top = /^(?:export )?(function|class) (\w+)/.exec(line);
  if (top) return { name: top[2] ?? '', kind: top[1] === 'class' ? 'class' : 'function' };
  const method = /^ {2}(\w+)\([^)]*\) \{/.exec(line);
  if (method && !['if', 'for', 'while', 'switch'].includes(method[1] ?? ''))
    return { name: method[1] ?? '', kind: 'method' };
  const imported = /^import .*?(\w+)/.exec(line);
  return imported ? { name: `import::${imported[1]}`, kind: 'import' } : undefined;
}

function endOf(lines: string[], first: number, indent: number, language: string): number {
  const depthOf = (line: string) => (line.trim() === '' ? Infinity : (/^\s*/.exec(line)?.[0].length ?? 0));
  const after = lines.findIndex((line, i) => i > first && depthOf(line) <= indent);
  if (language !== 'python') return /\}\s*$/.test(lines[first] ?? '') || after < 0 ? first : after;
  const end = after < 0 ? lines.length : after;
  return first + lines.slice(first, end).findLastIndex((line) => line.trim() !== '');
}

/** Members get the name of their class in front; twins get numbers. Functions in functions are not told apart. */
function named(drafts: Draft[]): Draft[] {
  const counts = new Map<string, number>();
  return drafts.flatMap((draft) => {
    const outer = drafts.find(
      (one) => one !== draft && one.first < draft.first && draft.last <= one.last && one.indent === 0,
    );
    if (draft.indent > 0 && outer?.kind !== 'class') return [];
    const name = outer ? `${outer.name}.${draft.name}` : draft.name;
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    const kind = outer ? 'method' : draft.kind;
    return [{ ...draft, kind, name: count > 1 ? `${name}#${count}` : name }];
  });
}

function symbolOf(lines: string[], { name, kind, first, last }: Draft): CodeSymbol {
  const start = lines.slice(0, first).reduce((sum, line) => sum + line.length + 1, 0);
  const text = lines.slice(first, last + 1).join('\n');
  const clean = text.replace(/[ \t\r]+$/gm, '');
  const own = name.split('.').at(-1)?.replace(/#\d+$/, '') ?? name;
  return {
    name,
    kind,
    range: { start, end: start + text.length, startLine: first + 1, endLine: last + 1 },
    bodyHash: hash(clean),
    signatureHash: hash(kind === 'class' ? name : (clean.split('\n')[0] ?? '')),
    shapeHash: hash(clean.replaceAll(new RegExp(`\\b${own}\\b`, 'g'), '')),
    calls: callsOf(lines.slice(first + 1, last + 1), first + 2),
  };
}

function callsOf(lines: string[], startLine: number): CallSite[] {
  return lines.flatMap((line, i) =>
    /^\s*(def|class|function) /.test(line)
      ? []
      : [...line.matchAll(/([\w.]+\.)?(\w+)\(/g)].map((call) => ({
          name: call[2] ?? '',
          receiver: (call[1] ?? '').replace(/\.$/, ''),
          line: startLine + i,
        })),
  );
}

function importsOf(line: string): ImportedName[] {
  const python = /^from (\S+) import \(?([\w, ]+)/.exec(line);
  const braces = /^import \{([\w, ]+)\} from '(\S+)'/.exec(line);
  const names = (python?.[2] ?? braces?.[1] ?? '').split(',').map((name) => name.trim());
  const module = python?.[1] ?? braces?.[2] ?? '';
  return names.filter((name) => name !== '').map((name) => ({ local: name, imported: name, module }));
}
