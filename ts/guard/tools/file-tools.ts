/** The file guard as tools. Paths that are not absolute begin at the first root. */
import { resolve } from 'node:path';
import { given } from '../../tools/parameters.js';
import { actingTool, type Caller, type Tool } from '../../tools/tool.js';
import type { FileCall, FileResult } from '../files.js';
import type { GuardToolsOptions } from './guard-tools.js';
import { batch, fencingToken, maxWaitMs, tokenOf } from './lock-tools.js';

/** What every file tool takes besides its own. */
const patience = {
  max_wait_ms: maxWaitMs,
  batch,
  fencing_token: {
    ...fencingToken,
    description: 'Of your own lease on the file: with it nothing is changed should you have lost that',
  },
} as const;

interface Patience {
  readonly max_wait_ms?: number;
  readonly batch?: boolean;
  readonly fencing_token?: string;
}

const path = {
  type: 'string',
  description: 'Path of the file; relative ones begin at the first root',
} as const;

const encoding = {
  type: 'string',
  enum: ['utf8', 'base64'],
  description: 'utf8 for text, base64 for everything else. Default: utf8',
} as const;

const expectedSha256 = {
  type: 'string',
  description:
    'SHA-256 that fs_read gave: STALE_VERSION, and nothing is changed, when the file is another by now',
} as const;

export function fileTools(context: GuardToolsOptions): Tool[] {
  const tools = [readTool, writeTool, editTool, moveTool, deleteTool, makeFolderTool];
  return tools.map((make) => make(context));
}

function readTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_read',
    title: 'Read a file',
    description:
      'Reads a file while nobody changes it, with the SHA-256 that fs_write and fs_edit can expect.',
    inputSchema: {
      type: 'object',
      properties: { path, encoding, ...patience },
      required: ['path'],
      additionalProperties: false,
    },
    hints: { readOnly: true, destructive: false, idempotent: true },
    run: async (args, caller) => {
      const options = given({ encoding: args.encoding });
      return { ...(await context.files.read(absolute(context, args.path), options, callOf(args, caller))) };
    },
  });
}

function writeTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_write',
    title: 'Write a file',
    description:
      'Writes a whole file, or appends to it: completely or not at all. Pass expected_sha256 when you write what you ' +
      'made of a file that you have read.',
    inputSchema: {
      type: 'object',
      properties: {
        path,
        content: { type: 'string', description: 'What to write' },
        mode: { type: 'string', enum: ['rewrite', 'append'], description: 'Default: rewrite' },
        encoding,
        expected_sha256: {
          type: ['string', 'null'],
          description: `${expectedSha256.description}; null: there must be no such file`,
        },
        ...patience,
      },
      required: ['path', 'content'],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: true, idempotent: false },
    run: async (args, caller) => {
      const options = given({
        mode: args.mode,
        encoding: args.encoding,
        expectedSha256: args.expected_sha256,
      });
      const file = absolute(context, args.path);
      return resultBody(await context.files.write(file, args.content, options, callOf(args, caller)));
    },
  });
}

function editTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_edit',
    title: 'Edit a file',
    description:
      'Replaces a text in a file by another. Refuses, and changes nothing, when it does not occur as often as expected.',
    inputSchema: {
      type: 'object',
      properties: {
        path,
        old_text: { type: 'string', description: 'The text to replace, exactly as it stands' },
        new_text: { type: 'string', description: 'What replaces it' },
        expected_replacements: {
          type: 'integer',
          description: 'How often old_text occurs. Default: 1',
          minimum: 1,
          maximum: 2 ** 31,
        },
        expected_sha256: expectedSha256,
        ...patience,
      },
      required: ['path', 'old_text', 'new_text'],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: true, idempotent: false },
    run: async (args, caller) => {
      const options = {
        oldText: args.old_text,
        newText: args.new_text,
        ...given({
          expectedReplacements: args.expected_replacements,
          expectedSha256: args.expected_sha256,
        }),
      };
      const file = absolute(context, args.path);
      const result = await context.files.edit(file, options, callOf(args, caller));
      return { ...resultBody(result), replacements: result.replacements };
    },
  });
}

function moveTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_move',
    title: 'Move a file or folder',
    description: 'Moves a file, or a folder with all that is in it, also to another name.',
    inputSchema: {
      type: 'object',
      properties: {
        from: { ...path, description: 'What to move' },
        to: { ...path, description: 'Its new path' },
        overwrite: { type: 'boolean', description: 'Replace a file that is there. Default: false' },
        ...patience,
      },
      required: ['from', 'to'],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: true, idempotent: false },
    run: async (args, caller) => {
      const [from, to] = [absolute(context, args.from), absolute(context, args.to)];
      const options = given({ overwrite: args.overwrite });
      return resultBody(await context.files.move(from, to, options, callOf(args, caller)));
    },
  });
}

function deleteTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_delete',
    title: 'Delete a file or folder',
    description: 'Removes a file, an empty folder, or with "recursive" a folder with all that is in it.',
    inputSchema: {
      type: 'object',
      properties: {
        path,
        recursive: { type: 'boolean', description: 'Also what is in the folder. Default: false' },
        expected_sha256: expectedSha256,
        ...patience,
      },
      required: ['path'],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: true, idempotent: true },
    run: async (args, caller) => {
      const options = given({ recursive: args.recursive, expectedSha256: args.expected_sha256 });
      const file = absolute(context, args.path);
      return resultBody(await context.files.delete(file, options, callOf(args, caller)));
    },
  });
}

function makeFolderTool(context: GuardToolsOptions): Tool {
  return actingTool({
    name: 'fs_mkdir',
    title: 'Make a folder',
    description: 'Makes a folder and those above it; one that is there already is no error.',
    inputSchema: {
      type: 'object',
      properties: { path, ...patience },
      required: ['path'],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: false, idempotent: true },
    run: async (args, caller) =>
      resultBody(await context.files.mkdir(absolute(context, args.path), callOf(args, caller))),
  });
}

/** An empty path is left for the guard to refuse: it would be the root itself. */
function absolute({ files }: GuardToolsOptions, given: string): string {
  return given === '' ? given : resolve(files.roots[0] ?? '', given);
}

function callOf(args: Patience, { agentId, sessionId, signal }: Caller): FileCall {
  const token = args.fencing_token === undefined ? undefined : tokenOf(args.fencing_token);
  return {
    agentId,
    sessionId,
    mode: args.batch ? 'batch' : 'interactive',
    ...given({ maxWaitMs: args.max_wait_ms, token, signal }),
  };
}

function resultBody({ path: file, sha256, bytes, token }: FileResult): object {
  return { path: file, sha256: sha256 ?? null, bytes, fencing_token: token?.toString() ?? null };
}
