/** One git repository, as seen from one of its folders. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { StompError } from '../../errors.js';
import { git, gitText } from './git.js';

interface Facts {
  readonly root: string;
  readonly top: string | undefined;
  readonly commonDir: string;
  readonly isBare: boolean;
  readonly isShallow: boolean;
  readonly branch: string;
}

export class Repository {
  /** The main worktree, which all worktrees of a clone share; of a bare repository, the repository itself. */
  readonly root: string;
  /** The worktree that was opened; undefined in a bare repository. */
  readonly top: string | undefined;
  /** Where git keeps what all worktrees share. */
  readonly commonDir: string;
  readonly isBare: boolean;
  /** History was cut off when it was cloned. */
  readonly isShallow: boolean;
  /** Name of the branch; `detached@<short sha>` without one. */
  readonly branch: string;

  private constructor(facts: Facts) {
    this.root = facts.root;
    this.top = facts.top;
    this.commonDir = facts.commonDir;
    this.isBare = facts.isBare;
    this.isShallow = facts.isShallow;
    this.branch = facts.branch;
  }

  /** Where git commands run. */
  get cwd(): string {
    return this.top ?? this.root;
  }

  /** @throws StompError NOT_A_REPOSITORY, GIT_FAILED, CANCELLED */
  static async open(folder: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Repository> {
    const cwd = path.resolve(folder);
    await checkFolder(cwd);
    const at = { cwd, signal: options.signal };
    const commonDir = path.resolve(await locate(cwd, options.signal));
    const asked = ['--is-bare-repository', '--is-shallow-repository', '--is-inside-work-tree'];
    const answers = (await gitText(['rev-parse', ...asked], at)).split('\n');
    const [isBareHere, isShallow, isInside] = answers.map((answer) => answer === 'true');
    const top = isInside ? path.resolve(await gitText(['rev-parse', '--show-toplevel'], at)) : undefined;
    const main = await mainWorktree(at);
    const root = main.isBare ? commonDir : ((await isMain(at)) && top) || main.folder;
    const branch = await branchOf(at);
    return new Repository({
      root,
      top: top ?? (isBareHere ? undefined : root),
      commonDir,
      isBare: isBareHere === true,
      isShallow: isShallow === true,
      branch,
    });
  }
}

interface At {
  readonly cwd: string;
  readonly signal: AbortSignal | undefined;
}

async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((error: unknown) => {
    throw new StompError('NOT_A_REPOSITORY', `${folder} cannot be opened.`, { cause: error });
  });
  if (!found.isDirectory()) throw new StompError('NOT_A_REPOSITORY', `${folder} is no folder.`);
}

async function locate(cwd: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await gitText(['rev-parse', '--path-format=absolute', '--git-common-dir'], { cwd, signal });
  } catch (error) {
    const isNone = error instanceof StompError && /not a git repository/i.test(error.message);
    if (!isNone) throw error;
    throw new StompError(
      'NOT_A_REPOSITORY',
      `${cwd} is in no git repository. Run \`git init\` there, or name a folder of one.`,
      { fields: { folder: cwd }, cause: error },
    );
  }
}

async function mainWorktree(at: At): Promise<{ folder: string; isBare: boolean }> {
  const { stdout } = await git(['worktree', 'list', '--porcelain', '-z'], at);
  // Lines end in NUL; an empty one ends a worktree. The main one comes first.
  const [first = ''] = stdout.toString('utf8').split('\0\0');
  const lines = first.split('\0');
  const folder = lines.find((line) => line.startsWith('worktree '))?.slice('worktree '.length) ?? at.cwd;
  return { folder: path.resolve(folder), isBare: lines.includes('bare') };
}

/** Of a submodule, or with the git folder elsewhere, the list of worktrees names the git folder; the top is right. */
async function isMain(at: At): Promise<boolean> {
  const own = await gitText(['rev-parse', '--path-format=absolute', '--git-dir'], at);
  const shared = await gitText(['rev-parse', '--path-format=absolute', '--git-common-dir'], at);
  return path.resolve(own) === path.resolve(shared);
}

async function branchOf(at: At): Promise<string> {
  const name = await git(['symbolic-ref', '--quiet', '--short', 'HEAD'], { ...at, answers: [1] });
  if (name.exit === 0) return name.stdout.toString('utf8').trimEnd();
  return `detached@${await gitText(['rev-parse', '--short', 'HEAD'], at)}`;
}
