/**
 * Looking for files and in them. No lease is taken: every change of the guard takes its place by a rename, so what is
 * read is one state of a file, whole.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileGuard } from '../../guard/files.js';
import { text, whole } from '../../tools/shapes.js';
import { defineTool } from './define-tool.js';
import { listFolder, walk } from './folder-walk.js';
import { globTest, type LineTest, lineTest } from './patterns.js';
import type { RunTool, ToolScope } from './run-tool.js';

const mostEntries = 1000;
const defaultMatches = 100;
const mostMatches = 1000;
const mostFileBytes = 1 << 20;
const mostLineChars = 300;

const folder = text('Folder; relative ones begin in the base directory. Default: the base directory');
const glob = text('Only files that fit, such as "*.ts" in any folder or "src/**/*.{ts,js}" below `path`');

export function searchTools(files: FileGuard): RunTool[] {
  return [listTool(files), searchTool(files)];
}

function listTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'list_files',
    description:
      'Lists a folder; with `glob` the files in it and in the folders below it that fit. Folders end in "/". Links, ' +
      'secrets, and what is inside of .git and node_modules are left out.',
    parameters: {
      type: 'object',
      properties: { path: folder, glob },
      required: [],
      additionalProperties: false,
    },
    kind: 'read',
    complete: async (args, scope) => {
      if (args.glob !== undefined) globTest(args.glob);
      return { ...args, path: await folderOf(files, args.path, scope) };
    },
    preview: async (args) => ({ title: `List ${args.path}${args.glob ? `, ${args.glob}` : ''}` }),
    run: async ({ path, glob: wanted }, scope) => {
      const at = await folderOf(files, path, scope);
      const found = wanted === undefined ? await namesIn(at) : await fitting(at, wanted, scope.signal);
      if (found.length === 0) return '[nothing found]';
      const shown = found.slice(0, mostEntries);
      const more = found.length > mostEntries ? [`[there is more: only ${mostEntries} are listed]`] : [];
      return [...shown, ...more].join('\n');
    },
  });
}

async function namesIn(path: string): Promise<string[]> {
  return (await listFolder(path)).map((entry) => entry.path);
}

/** One more than are listed, should there be more. */
async function fitting(path: string, wanted: string, signal: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for await (const file of filesBelow(path, wanted, signal)) {
    if (found.push(file) > mostEntries) break;
  }
  return found;
}

function searchTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'search_files',
    description:
      'Finds lines in the text files of a folder and of those below it: "path:line: text" for each. Links, secrets, ' +
      '.git, node_modules, binary files and files over 1 MiB are left out.',
    parameters: {
      type: 'object',
      properties: {
        pattern: text('What to find'),
        regex: { type: 'boolean', description: 'pattern is an RE2 expression. Default: false, plain text' },
        case_sensitive: { type: 'boolean', description: 'Default: true' },
        path: folder,
        glob,
        max_results: whole(`Lines to show. Default: ${defaultMatches}`, 1, mostMatches),
      },
      required: ['pattern'],
      additionalProperties: false,
    },
    kind: 'read',
    complete: async (args, scope) => {
      const { regex = false, case_sensitive = true, max_results = defaultMatches } = args;
      lineTest(args.pattern, { regex, caseSensitive: case_sensitive });
      if (args.glob !== undefined) globTest(args.glob);
      return { ...args, regex, case_sensitive, max_results, path: await folderOf(files, args.path, scope) };
    },
    preview: async (args) => ({ title: `Search ${args.path} for ${JSON.stringify(args.pattern)}` }),
    run: async (args, scope) => {
      const at = await folderOf(files, args.path, scope);
      const test = lineTest(args.pattern, {
        regex: args.regex ?? false,
        caseSensitive: args.case_sensitive ?? true,
      });
      const most = args.max_results ?? defaultMatches;
      const lines = await matches(files, at, { test, glob: args.glob, most }, scope.signal);
      if (lines.length === 0) return '[nothing found]';
      const more = lines.length > most ? [`[there is more: only ${most} lines are shown]`] : [];
      return [...lines.slice(0, most), ...more].join('\n');
    },
  });
}

interface Search {
  readonly test: LineTest;
  readonly glob: string | undefined;
  readonly most: number;
}

/** One more than are shown, should there be more. */
async function matches(
  files: FileGuard,
  path: string,
  { test, glob: wanted, most }: Search,
  signal: AbortSignal,
) {
  const found: string[] = [];
  for await (const file of filesBelow(path, wanted, signal)) {
    const full = join(path, file);
    const content = (files.isDenied(full) ? undefined : await textIfAny(full)) ?? '';
    for (const line of linesThatFit(file, content, test)) {
      if (found.push(line) > most) return found;
    }
  }
  return found;
}

async function* filesBelow(path: string, wanted: string | undefined, signal: AbortSignal) {
  const fits = wanted === undefined ? () => true : globTest(wanted);
  for await (const entry of walk(path, signal)) {
    if (!entry.isFolder && fits(entry.path)) yield entry.path;
  }
}

function* linesThatFit(path: string, content: string, test: LineTest): Generator<string, void> {
  for (const [at, line] of content.split('\n').entries()) {
    if (test(line)) yield `${path}:${at + 1}: ${line.trimEnd().slice(0, mostLineChars)}`;
  }
}

/** Undefined for what is binary, too large, gone, or may not be read. */
async function textIfAny(file: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(file, flags).catch(() => undefined);
  if (!handle) return undefined;
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > mostFileBytes) return undefined;
    const bytes = await handle.readFile();
    return bytes.includes(0) ? undefined : bytes.toString('utf8');
  } finally {
    await handle.close();
  }
}

/** Checked again before it is looked into: a link may have taken its place. */
async function folderOf(files: FileGuard, path: string | undefined, { paths, baseDir }: ToolScope) {
  return files.locate(await paths.resolve(path ?? baseDir, baseDir));
}
