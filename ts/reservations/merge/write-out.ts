/** Writes the files of a plan into a new folder. */
import { lstat, mkdir, readdir, realpath, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { StompError } from '../../errors.js';
import { modes, Objects } from '../git/objects.js';
import type { Repository } from '../git/repository.js';
import type { MergePlan, PlannedContent, PlannedFile } from './types.js';

export interface WriteOptions {
  /** Files in conflict too, with markers; else they are left out. */
  readonly withMarkers?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Written {
  readonly folder: string;
  readonly written: readonly string[];
  /** To be deleted where the files are put to use. */
  readonly deleted: readonly string[];
  /** In conflict, or nothing that a folder can hold. */
  readonly leftOut: readonly { readonly path: string; readonly reason: string }[];
}

/** Lies beside the files. */
export const manifestName = 'merge-plan.json';

/**
 * Writes every file that either side changed, and a manifest. The folder must be empty, or not be there yet, and lie
 * apart from the repository.
 * @throws StompError MERGE_REFUSED, GIT_FAILED, CANCELLED
 */
export async function writeMerge(
  repository: Repository,
  plan: MergePlan,
  folder: string,
  options: WriteOptions = {},
): Promise<Written> {
  const target = await newFolder(repository, path.resolve(folder));
  const objects = new Objects(repository, options.signal);
  const written: string[] = [];
  const leftOut: { path: string; reason: string }[] = [];
  try {
    for (const file of plan.files.filter(({ isDeleted }) => !isDeleted)) {
      const content = options.withMarkers ? (file.content ?? file.marked) : file.content;
      const reason = reasonToLeaveOut(file, content, plan);
      if (reason !== undefined || !content) leftOut.push({ path: file.path, reason: reason ?? file.reason });
      else {
        await put(target, file, await bytesOf(content, objects));
        written.push(file.path);
      }
    }
  } finally {
    objects.close();
  }
  const result = { folder: target, written, deleted: deletedPaths(plan), leftOut };
  await writeFile(path.join(target, manifestName), `${JSON.stringify(manifest(plan, result), null, 2)}\n`, {
    flag: 'wx',
  });
  return result;
}

function refusal(message: string, folder: string): StompError {
  return new StompError('MERGE_REFUSED', message, { fields: { folder } });
}

async function newFolder(repository: Repository, folder: string): Promise<string> {
  const { root, top = root, commonDir } = repository;
  const real = await realTarget(folder);
  for (const place of new Set([root, top, commonDir])) {
    const own = await realpath(place);
    if (isWithin(real, own) || isWithin(own, real))
      throw refusal(`${folder} must lie apart from the repository ${own}.`, folder);
  }
  const there = await lstat(folder).catch(missing);
  if (there && !there.isDirectory()) throw refusal(`${folder} is there already and is no folder.`, folder);
  if (there && (await readdir(folder)).length > 0)
    throw refusal(`${folder} is not empty; name a new folder.`, folder);
  await mkdir(real, { recursive: true });
  return real;
}

/** Where a folder that may not be there yet will lie, links of the folders above followed. */
async function realTarget(folder: string): Promise<string> {
  const found = await realpath(folder).catch(missing);
  const above = path.dirname(folder);
  if (found !== undefined || above === folder) return found ?? folder;
  return path.join(await realTarget(above), path.basename(folder));
}

function missing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

function isWithin(inner: string, outer: string): boolean {
  const way = path.relative(outer, inner);
  return way === '' || !(way === '..' || way.startsWith(`..${path.sep}`) || path.isAbsolute(way));
}

function reasonToLeaveOut(
  file: PlannedFile,
  content: PlannedContent | undefined,
  plan: MergePlan,
): string | undefined {
  if (!content) return file.reason;
  if (file.mode === modes.submodule) return 'a submodule; check out its commit there';
  if (!isSafe(file.path)) return 'its name cannot be written';
  if (file.path === manifestName) return `the manifest has that name`;
  // What lies at one place with another file, or under one, has no place of its own.
  const clash = plan.conflicts.find(({ kind, path: at }) => kind === 'file_conflict' && at === file.path);
  return clash?.description;
}

/** Names that lead out of the folder come from no honest tree, but git objects can hold them. */
function isSafe(name: string): boolean {
  const parts = name.split(/[/\\]/);
  return parts.every((part) => part !== '' && part !== '.' && part !== '..' && part.toLowerCase() !== '.git');
}

async function bytesOf(content: PlannedContent, objects: Objects): Promise<Buffer> {
  return 'id' in content ? objects.read(content.id) : Buffer.from(content.text, content.encoding);
}

async function put(folder: string, file: PlannedFile, bytes: Buffer): Promise<void> {
  const place = path.join(folder, ...file.path.split('/'));
  await mkdir(path.dirname(place), { recursive: true });
  // A link that was written before must not lead a later file out of the folder.
  const above = await realpath(path.dirname(place));
  if (!isWithin(above, folder)) throw refusal(`${file.path} would lie outside of the folder.`, folder);
  if (file.mode === modes.link) await symlink(bytes.toString('utf8'), place);
  else await writeFile(place, bytes, { flag: 'wx', mode: file.mode === modes.executable ? 0o777 : 0o666 });
}

function deletedPaths({ files }: MergePlan): string[] {
  const there = new Set(files.filter(({ isDeleted }) => !isDeleted).map(({ path: name }) => name));
  const gone = files.flatMap(({ path: name, oldPath, isDeleted }) => [
    ...(isDeleted ? [name] : []),
    ...(oldPath === undefined ? [] : [oldPath]),
  ]);
  return [...new Set(gone)].filter((name) => !there.has(name));
}

function manifest(plan: MergePlan, { written, deleted, leftOut }: Written): unknown {
  return {
    base: plan.base,
    ours: plan.ours,
    theirs: plan.theirs,
    written,
    deleted,
    left_out: leftOut,
    files: plan.files.map(({ path: name, status, reason }) => ({ path: name, status, reason })),
    conflicts: plan.conflicts.map(({ isResolved, isTextual, ...rest }) => ({
      ...rest,
      is_resolved: isResolved,
      is_textual: isTextual,
    })),
    order: plan.order,
    warnings: plan.warnings,
  };
}
