/**
 * What a state file of before there were formats says: one current project for everybody, and what the projects are.
 * Anybody may have written it, so each part is taken only as far as it can be used.
 */
import { isAbsolute } from 'node:path';
import { StompError } from '../errors.js';
import { isWithin } from '../paths.js';
import { checkMeta, checkStorable, checkTags } from './meta.js';
import { checkProjectName, newProject } from './project-input.js';
import type { ProjectContent } from './projects.js';
import { invalidState, isObject, type Members } from './state-file.js';
import type { ProjectOptions } from './types.js';

/** One project in one or two ways that it may be created, the preferred one first. */
export type LegacyProject = readonly [ProjectContent, ...ProjectContent[]];

export interface Skipped {
  readonly name: string;
  readonly reason: string;
}

export interface LegacyState {
  readonly currentProject: string;
  /** The current one first. */
  readonly projects: readonly LegacyProject[];
  readonly skipped: readonly Skipped[];
}

export interface LegacyPlace {
  /** Of the file, for messages. */
  readonly path: string;
  /** Root of the current project if the file says none that can be used. */
  readonly home: string;
  /** Canonical folders that projects must lie in; none: anywhere. */
  readonly roots: readonly string[];
}

const maxProjects = 10_000;
const maxShownName = 128;
const remedy = 'Correct it, or remove "current_project" from it, and start again.';

/** The global current project; undefined when there is none, or when the file is of a later version. */
export function legacyProjectIn({ format, current_project: current }: Members): unknown {
  if (format !== undefined && format !== 1) return undefined;
  const name = isObject(current) ? current.name : current;
  return name === null || name === '' ? undefined : name;
}

/**
 * @returns undefined when there is no global current project
 * @throws StompError STATE_INVALID when it cannot be a project, or there are too many of them
 */
export async function legacyStateOf(members: Members, place: LegacyPlace): Promise<LegacyState | undefined> {
  const current = legacyProjectIn(members);
  if (current === undefined) return undefined;
  const named = new Map(isObject(members.projects) ? Object.entries(members.projects) : []);
  if (named.size > maxProjects)
    throw invalidState(place.path, `names more than ${maxProjects} projects`, remedy);
  const currentProject = currentName(place.path, current);
  const projects = [await currentOf(currentProject, named.get(currentProject), place)];
  const skipped: Skipped[] = [];
  named.delete(currentProject);
  for (const [name, said] of named) {
    const found = await projectOf(name, said, place.roots);
    if (typeof found !== 'string') projects.push(found);
    else skipped.push({ name: name.slice(0, maxShownName), reason: found });
  }
  return { currentProject, projects, skipped };
}

function currentName(path: string, name: unknown): string {
  const fits = orElse(() => checkProjectName(name), undefined);
  if (fits !== undefined) return fits;
  throw invalidState(path, 'has a current_project that is no name of a project', remedy);
}

async function currentOf(
  name: string,
  said: unknown,
  { path, home, roots }: LegacyPlace,
): Promise<LegacyProject> {
  const known = isObject(said) ? said : {};
  for (const root of [known.root, home]) {
    const found = await projectOf(name, { ...known, root }, roots);
    if (typeof found !== 'string') return found;
  }
  throw invalidState(path, `has the current_project ${JSON.stringify(name)}, which has no folder`, remedy);
}

/** @returns why it cannot be used, instead of it */
async function projectOf(
  name: string,
  said: unknown,
  roots: readonly string[],
): Promise<LegacyProject | string> {
  if (!isObject(said)) return 'Nothing is said of it.';
  const { root } = said;
  if (typeof root !== 'string' || !isAbsolute(root)) return 'Its root is no absolute path.';
  const options = optionsOf(name, root, said);
  try {
    const usual = await newProject(options, roots);
    const own = await withOwnLog(options, said, roots);
    return own ? [own, usual] : [usual];
  } catch (error) {
    if (error instanceof StompError) return error.message;
    throw error;
  }
}

function optionsOf(name: string, root: string, said: Members): ProjectOptions {
  const { name: _name, root: _root, description, tags, ...legacy } = said;
  return {
    name,
    root,
    description: orElse(() => shortened(checkStorable('description', description)), ''),
    tags: orElse(() => checkTags('tags', tags), []),
    meta: orElse(() => checkMeta('meta', Object.keys(legacy).length > 0 ? { legacy } : {}), {}),
  };
}

function shortened(text: string): string {
  // The cut may go through a character.
  return text.slice(0, 4096).replace(/\p{Surrogate}$/u, '');
}

/** Only with a log within the project: lines will be written to it. */
async function withOwnLog(
  options: ProjectOptions,
  { progress_log: log }: Members,
  roots: readonly string[],
): Promise<ProjectContent | undefined> {
  if (typeof log !== 'string' || !log.endsWith('.md')) return undefined;
  try {
    const content = await newProject({ ...options, progressLogPath: log }, roots);
    return isWithin(content.progress_log_path, content.root) ? content : undefined;
  } catch (error) {
    if (error instanceof StompError) return undefined;
    throw error;
  }
}

function orElse<T>(check: () => T, otherwise: T): T {
  try {
    return check();
  } catch (error) {
    if (error instanceof StompError) return otherwise;
    throw error;
  }
}
