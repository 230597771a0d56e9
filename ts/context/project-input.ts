/** What callers say of a project, checked and completed. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkFields, checkText, refuse } from '../arguments.js';
import { canonicalPath, deniedPath, isWithin } from '../paths.js';
import { checkMeta, checkStorable, checkTags } from './meta.js';
import { folderName, type ProjectContent } from './projects.js';
import type { Project, ProjectChanges, ProjectOptions } from './types.js';

const changeable = ['root', 'progressLogPath', 'description', 'tags', 'meta'];
const maxNameLength = 128;

/**
 * A name for people, which also stands in lines of the log.
 * @throws StompError INVALID_REQUEST
 */
export function checkProjectName(value: unknown, field = 'project'): string {
  const allowed = `1 to ${maxNameLength} characters without line breaks and control characters, no space at either end`;
  if (typeof value !== 'string' || value === '' || value.length > maxNameLength || value.trim() !== value)
    refuse(field, value, allowed);
  if (/[\p{Cc}\u2028\u2029]/u.test(value)) refuse(field, value, allowed);
  return checkStorable(field, value);
}

/**
 * @param roots canonical folders that projects must lie in; none: anywhere
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PATH_DENIED, PAYLOAD_TOO_LARGE
 */
export async function newProject(options: ProjectOptions, roots: readonly string[]): Promise<ProjectContent> {
  checkFields('project', options, ['name', ...changeable]);
  const name = checkProjectName(options.name, 'name');
  const root = await checkRoot(options.root ?? roots[0] ?? process.cwd(), roots);
  return {
    name,
    root,
    progress_log_path: await logPath(name, root, options.progressLogPath, roots),
    description: checkDescription(options.description),
    tags: checkTags('tags', options.tags),
    meta: checkMeta('meta', options.meta),
  };
}

/** The project as it is to be. What is left out stays; a log at its usual place moves with the root. */
export async function changedProject(
  before: Project,
  changes: ProjectChanges,
  roots: readonly string[],
): Promise<ProjectContent> {
  checkFields('project', changes, changeable);
  const { name } = before;
  const root = changes.root === undefined ? before.root : await checkRoot(changes.root, roots);
  const usual = before.progress_log_path === join(before.root, usualLog(name));
  const given = changes.progressLogPath ?? (usual ? undefined : before.progress_log_path);
  return {
    name,
    root,
    progress_log_path: await logPath(name, root, given, roots),
    description:
      changes.description === undefined ? before.description : checkDescription(changes.description),
    tags: changes.tags === undefined ? before.tags : checkTags('tags', changes.tags),
    meta: changes.meta === undefined ? before.meta : checkMeta('meta', changes.meta),
  };
}

/**
 * @param ownFiles canonical paths; what is beside them under a longer name belongs to them
 * @throws StompError PATH_DENIED when lines of the log would be written into one of them
 */
export function checkLog(content: ProjectContent, ownFiles: readonly string[]): ProjectContent {
  const { progress_log_path: path } = content;
  const own = ownFiles.find(
    (file) => path === file || path.startsWith(`${file}-`) || path.startsWith(`${file}.`),
  );
  if (own !== undefined) throw deniedPath(path, `the context keeps ${own} for itself`);
  return content;
}

function usualLog(name: string): string {
  return join('.stomp', folderName(name), 'PROGRESS_LOG.md');
}

function checkDescription(value: unknown): string {
  return checkStorable('description', checkText('description', value, '', 4096));
}

async function checkRoot(given: unknown, roots: readonly string[]): Promise<string> {
  if (typeof given !== 'string' || given === '') refuse('root', given, 'the path of a folder');
  const path = await canonicalPath(resolve(roots[0] ?? '', given));
  checkWithin(path, roots);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) refuse('root', given, 'the path of a folder that exists');
  return path;
}

async function logPath(
  name: string,
  root: string,
  given: unknown,
  roots: readonly string[],
): Promise<string> {
  if (given !== undefined && (typeof given !== 'string' || given === '' || given.endsWith('/')))
    refuse('progress_log_path', given, 'the path of a file');
  const path = await canonicalPath(resolve(root, given ?? usualLog(name)));
  checkWithin(path, roots);
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile()) refuse('progress_log_path', given ?? path, 'the path of a file');
  return path;
}

function checkWithin(path: string, roots: readonly string[]): void {
  if (roots.length === 0 || roots.some((root) => isWithin(path, root))) return;
  throw deniedPath(path, `it lies outside ${roots.join(', ')}`);
}
