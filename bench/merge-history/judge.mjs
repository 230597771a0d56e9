// Holds the plan of one merge against what git makes of it and what people committed.
import { languageOf } from '../../dist/reservations/symbols/languages.js';
import { readFile } from '../../dist/reservations/symbols/read-file.js';
import { blobId } from './history.mjs';

/** @returns one entry for each file: where it stands for git and in the plan, and whether texts are the same. */
export async function judge(plan, git, gitFiles, humanFiles) {
  const planned = byName(plan.files);
  const told = byPath(plan.conflicts);
  // The old name of a renamed file counts only where git is in conflict over it.
  const isCounted = (path) => git.paths.has(path) || planned.get(path)?.path === path || !planned.has(path);
  const paths = new Set([...git.paths, ...planned.keys(), ...told.keys()]);
  const judged = [];
  for (const path of [...paths].filter(isCounted)) {
    const file = planned.get(path);
    const conflicts = [...(told.get(path) ?? []), ...((file?.path !== path && told.get(file?.path)) || [])];
    const elsewhere = plan.conflicts.filter(({ symbols }) =>
      symbols.some((one) => one.startsWith(`${path}::`)),
    );
    const found = { path, inGit: git.paths.has(path), ...described(path, file, conflicts, elsewhere) };
    judged.push({ ...found, ...(await texts(found, file, gitFiles, humanFiles)) });
  }
  return judged;
}

/** By its name, and by the one that it had in the base where no other file has that now. */
function byName(files) {
  const old = files.filter(({ oldPath }) => oldPath !== undefined);
  return new Map([...old.map((file) => [file.oldPath, file]), ...files.map((file) => [file.path, file])]);
}

/** What is told of its symbols where they have gone to is told, too. */
function described(path, file, conflicts, elsewhere) {
  const open = conflicts.filter(({ isResolved }) => !isResolved);
  const all = [...conflicts, ...elsewhere];
  return {
    isCode: languageOf(path) !== undefined,
    state: stateOf(file, open.length > 0),
    isTold: all.length > 0,
    // The plan itself had nothing against it until it saw git's own merge.
    isByGitAlone:
      all.length > 0 && all.every(({ description }) => description.startsWith('Git does not see')),
    isTextual: all.some(({ isTextual }) => isTextual),
    isNamed: all.some(({ symbols }) => symbols.some((symbol) => symbol.includes('::'))),
    kinds: [...new Set(open.map(({ kind }) => kind))].sort(),
  };
}

function byPath(conflicts) {
  const found = new Map();
  for (const conflict of conflicts) found.set(conflict.path, [...(found.get(conflict.path) ?? []), conflict]);
  return found;
}

/** `refused`: no text; `noted`: a text, and a finding that is open; else who changed it. */
function stateOf(file, isOpen) {
  if (file?.status === 'conflict') return 'refused';
  return isOpen ? 'noted' : (file?.status ?? 'unchanged');
}

async function texts({ path, inGit }, file, gitFiles, humanFiles) {
  if (!file || file.status === 'conflict') return {};
  const id = idOf(file);
  const ofGit = gitFiles.get(path)?.id;
  const isMade = file.content !== undefined && 'text' in file.content;
  return {
    isMade,
    isAsHuman: id === humanFiles.get(path)?.id,
    ...(!inGit && { isAsGit: id === ofGit }),
    ...(isMade && id !== ofGit && { isBroken: await isBroken(path, file.content) }),
  };
}

function idOf({ isDeleted, content }) {
  if (isDeleted) return undefined;
  return 'id' in content ? content.id : blobId(content);
}

async function isBroken(path, { text, encoding }) {
  if (languageOf(path) === undefined) return false;
  return (await readFile(path, Buffer.from(text, encoding))).problem !== undefined;
}
