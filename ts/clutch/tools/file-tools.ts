/**
 * Files of a run, through the guard: whole changes, one agent at a time. What replaces or removes a file is for the
 * file that was shown; when it has changed since, nothing happens.
 */
import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StompError } from '../../errors.js';
import { editedText, sha256, textOf } from '../../file-text.js';
import type { FileCall, FileGuard } from '../../guard/files.js';
import type { NullableTextSchema, TextSchema } from '../../tools/parameters.js';
import { text, whole } from '../../tools/shapes.js';
import { countLines, unifiedDiff } from '../unified-diff.js';
import { defineTool } from './define-tool.js';
import type { Payload, Preview, RunTool, ToolScope } from './run-tool.js';

const path = text('Path of the file; relative ones begin in the base directory');
const expectedSha256 = 'SHA-256 of the file as it must still be. Default: as it is when the call is shown';

export function fileTools(files: FileGuard): RunTool[] {
  return [readTool, writeTool, editTool, moveTool, deleteTool].map((make) => make(files));
}

function readTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'read_file',
    description: 'Reads a text file, or some lines of it. Of a long file, read the lines that you need.',
    parameters: {
      type: 'object',
      properties: {
        path,
        first_line: whole('Counted from 1. Default: 1', 1),
        last_line: whole('Included. Default: the last one of the file', 1),
      },
      required: ['path'],
      additionalProperties: false,
    },
    kind: 'read',
    complete: async (args, scope) => ({ ...args, path: await place(files, args.path, scope) }),
    preview: async (args) => ({ title: `Read ${args.path}${rangeTitle(args)}` }),
    run: async (args, scope) => {
      const file = await samePlace(files, args.path, scope);
      const { content } = await files.read(file, {}, callOf(scope));
      return linesOf(content, args);
    },
  });
}

interface LineRange {
  readonly first_line?: number;
  readonly last_line?: number;
}

function rangeTitle({ first_line, last_line }: LineRange): string {
  if (first_line === undefined && last_line === undefined) return '';
  return `, lines ${first_line ?? 1} to ${last_line ?? 'the last'}`;
}

/** @throws StompError INVALID_REQUEST when there are no such lines */
function linesOf(content: string, { first_line, last_line }: LineRange): string {
  if (first_line === undefined && last_line === undefined) return content;
  const count = countLines(content);
  const first = first_line ?? 1;
  const last = Math.min(last_line ?? count, count);
  if (first > last) {
    throw new StompError('INVALID_REQUEST', `There are no such lines: the file has ${count}.`, {
      fields: { field: 'first_line', allowed: `1 to ${count}` },
    });
  }
  const lines = content.split('\n').slice(first - 1, last);
  return `[lines ${first} to ${last} of ${count}]\n${lines.join('\n')}`;
}

function hashOfAnotherFile(edits: Payload): readonly string[] {
  return edits.path === undefined ? [] : ['expected_sha256'];
}

const nullableHash: NullableTextSchema = {
  type: ['string', 'null'],
  description: `${expectedSha256}. null: there must be none`,
};

function writeTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'write_file',
    description:
      'Writes a whole text file, in a new folder if need be. To change a part of a file, use edit_file.',
    parameters: {
      type: 'object',
      properties: { path, content: text('All of it'), expected_sha256: nullableHash },
      required: ['path', 'content'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async ({ path: given, content, expected_sha256 }, scope) => {
      const file = await place(files, given, scope);
      if (expected_sha256 !== undefined) return { path: file, content, expected_sha256 };
      const now = await bytesIfAny(files, file, scope);
      return { path: file, content, expected_sha256: now ? sha256(now) : null };
    },
    outdated: hashOfAnotherFile,
    touches: (args) => [args.path],
    preview: async (args, scope) => {
      const now = await bytesIfAny(files, args.path, scope);
      const size = `${countLines(args.content)} lines, ${Buffer.byteLength(args.content)} bytes`;
      const title = `${now ? 'Replace' : 'Create'} ${args.path} (${size})`;
      return { title, ...diffOf(args.path, now, args.content) };
    },
    run: async (args, scope) => {
      const file = await samePlace(files, args.path, scope);
      await makeFolderFor(files, file, scope);
      const options = args.expected_sha256 === undefined ? {} : { expectedSha256: args.expected_sha256 };
      const done = await files.write(file, args.content, options, callOf(scope));
      return `Wrote ${done.bytes} bytes to ${file}.`;
    },
  });
}

function editTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'edit_file',
    description: 'Replaces a text in a file. Refused when it does not occur as often as expected.',
    parameters: {
      type: 'object',
      properties: {
        path,
        old_text: text('The text to replace, exactly as it stands, with enough around it to occur only once'),
        new_text: text('What replaces it'),
        expected_replacements: whole('How often old_text occurs. Default: 1', 1, 2 ** 31),
      },
      required: ['path', 'old_text', 'new_text'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async (args, scope) => ({
      expected_replacements: 1,
      ...args,
      path: await place(files, args.path, scope),
    }),
    touches: (args) => [args.path],
    preview: async (args, scope) => {
      const { content } = await files.read(args.path, {}, callOf(scope));
      const after = editedText(content, replacementOf(args), args.path).text;
      return { title: `Edit ${args.path}`, diff: unifiedDiff(args.path, content, after) };
    },
    run: async (args, scope) => {
      const file = await samePlace(files, args.path, scope);
      const done = await files.edit(file, replacementOf(args), callOf(scope));
      return `Edited ${file}: ${done.replacements} replaced, ${done.bytes} bytes now.`;
    },
  });
}

function replacementOf(args: { old_text: string; new_text: string; expected_replacements?: number }) {
  const { old_text: oldText, new_text: newText, expected_replacements: expectedReplacements = 1 } = args;
  return { oldText, newText, expectedReplacements };
}

function moveTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'move_file',
    description: 'Moves a file, or a folder with all that is in it, also to another name.',
    parameters: {
      type: 'object',
      properties: {
        from: { ...path, description: 'What to move' },
        to: { ...path, description: 'Its new path' },
        overwrite: { type: 'boolean', description: 'Replace a file that is there. Default: false' },
      },
      required: ['from', 'to'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async (args, scope) => ({
      overwrite: false,
      ...args,
      from: await place(files, args.from, scope),
      to: await place(files, args.to, scope),
    }),
    touches: ({ from, to }) => [from, to],
    preview: async ({ from, to, overwrite }) => ({
      title: `Move ${from} to ${to}${overwrite ? ', also over a file that is there' : ''}`,
    }),
    run: async (args, scope) => {
      const from = await samePlace(files, args.from, scope);
      const to = await samePlace(files, args.to, scope);
      await makeFolderFor(files, to, scope);
      await files.move(from, to, { overwrite: args.overwrite ?? false }, callOf(scope));
      return `Moved ${from} to ${to}.`;
    },
  });
}

const hash: TextSchema = text(`${expectedSha256}. For files only`);

function deleteTool(files: FileGuard): RunTool {
  return defineTool({
    name: 'delete_file',
    description: 'Removes a file or an empty folder.',
    parameters: {
      type: 'object',
      properties: { path, expected_sha256: hash },
      required: ['path'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async (args, scope) => {
      const file = await place(files, args.path, scope);
      if (args.expected_sha256 !== undefined) return { ...args, path: file };
      const now = await bytesToShow(files, file, scope);
      return { path: file, ...(now ? { expected_sha256: sha256(now) } : {}) };
    },
    outdated: hashOfAnotherFile,
    touches: (args) => [args.path],
    preview: async (args, scope) => {
      const now = await bytesToShow(files, args.path, scope);
      return { title: `Delete ${args.path}`, ...(now ? diffOf(args.path, now, undefined) : {}) };
    },
    run: async (args, scope) => {
      const file = await samePlace(files, args.path, scope);
      const options = args.expected_sha256 === undefined ? {} : { expectedSha256: args.expected_sha256 };
      await files.delete(file, options, callOf(scope));
      return `Deleted ${file}.`;
    },
  });
}

/** @throws StompError PATH_DENIED, INVALID_REQUEST */
async function place(files: FileGuard, given: string, { paths, baseDir }: ToolScope): Promise<string> {
  return files.locate(await paths.resolve(given, baseDir));
}

/** What was approved was this path: no link may lead elsewhere by now. @throws StompError PATH_DENIED */
async function samePlace(files: FileGuard, approved: string, scope: ToolScope): Promise<string> {
  const now = await place(files, approved, scope);
  if (now === approved) return now;
  throw new StompError('PATH_DENIED', `${approved} leads to ${now} by now, which nobody was shown.`, {
    fields: { file: approved },
  });
}

async function bytesIfAny(files: FileGuard, file: string, scope: ToolScope): Promise<Buffer | undefined> {
  try {
    const { content } = await files.read(file, { encoding: 'base64' }, callOf(scope));
    return Buffer.from(content, 'base64');
  } catch (error) {
    if (error instanceof StompError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Of a file that the guard reads; undefined for a folder and a file that is too large. @throws StompError NOT_FOUND */
async function bytesToShow(files: FileGuard, file: string, scope: ToolScope): Promise<Buffer | undefined> {
  const stats = await lstat(file).catch(() => undefined);
  if (!stats) throw new StompError('NOT_FOUND', `There is no file ${file}.`, { fields: { file } });
  return stats.isFile() && stats.size <= files.maxFileBytes ? bytesIfAny(files, file, scope) : undefined;
}

/** Nothing where a side is binary. */
function diffOf(file: string, before: Buffer | undefined, after: string | undefined): Pick<Preview, 'diff'> {
  const old = before && textIfAny(before, file);
  return before && old === undefined ? {} : { diff: unifiedDiff(file, old, after) };
}

function textIfAny(bytes: Buffer, file: string): string | undefined {
  try {
    return textOf(bytes, file);
  } catch (error) {
    if (error instanceof StompError && error.code === 'INVALID_REQUEST') return undefined;
    throw error;
  }
}

async function makeFolderFor(files: FileGuard, file: string, scope: ToolScope): Promise<void> {
  const folder = dirname(file);
  if (!(await lstat(folder).catch(() => undefined))) await files.mkdir(folder, callOf(scope));
}

/** Runs wait for a file as long as batches do. */
function callOf({ agentId, sessionId, signal }: ToolScope): FileCall {
  return { agentId, sessionId, mode: 'batch', signal };
}
