/** What git itself makes of a merge. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type GitOutput, git } from './git.js';
import type { Repository } from './repository.js';

/** Exit code of a git that has no such option: older than 2.38. */
const unknownOption = 129;

/** Lies in a temporary folder: nothing is written to the repository. */
export class GitMerge {
  /** What git leaves in conflict; undefined when this git cannot tell. */
  readonly conflicts: ReadonlySet<string> | undefined;
  readonly #tree: string;
  readonly #workshop: Workshop;

  private constructor(workshop: Workshop, { stdout, exit }: GitOutput) {
    const [tree = '', ...paths] = stdout.toString('utf8').split('\0');
    this.#workshop = workshop;
    this.#tree = tree;
    this.conflicts = exit === unknownOption ? undefined : new Set(paths.filter((name) => name !== ''));
  }

  /** @throws StompError GIT_FAILED, CANCELLED */
  static async of(
    repository: Repository,
    ours: string,
    theirs: string,
    signal?: AbortSignal,
  ): Promise<GitMerge> {
    const workshop = await Workshop.open(repository);
    const args = ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', ours, theirs];
    try {
      return new GitMerge(workshop, await workshop.git(args, [1, unknownOption], signal));
    } catch (error) {
      await workshop.close();
      throw error;
    }
  }

  /** With git's markers; undefined where it is no file. */
  async marked(name: string): Promise<Buffer | undefined> {
    const { stdout, exit } = await this.#workshop.git(['cat-file', 'blob', `${this.#tree}:${name}`], [128]);
    return exit === 0 ? stdout : undefined;
  }

  async close(): Promise<void> {
    await this.#workshop.close();
  }
}

/** A folder for the objects that git makes on the way; those of the repository are seen through it. */
class Workshop {
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(folder: string, commonDir: string) {
    this.#folder = folder;
    this.#environment = {
      GIT_DIR: commonDir,
      // No attributes of files that happen to be checked out.
      GIT_WORK_TREE: folder,
      GIT_INDEX_FILE: path.join(folder, 'index'),
      GIT_OBJECT_DIRECTORY: path.join(folder, 'objects'),
      // A list of folders; quoted, so that any name is one of them.
      GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(path.join(commonDir, 'objects')),
    };
  }

  static async open({ commonDir }: Repository): Promise<Workshop> {
    const folder = await mkdtemp(path.join(tmpdir(), 'stomp-merge-'));
    await mkdir(path.join(folder, 'objects'));
    return new Workshop(folder, commonDir);
  }

  git(args: readonly string[], answers: readonly number[], signal?: AbortSignal): Promise<GitOutput> {
    return git(args, { cwd: this.#folder, environment: this.#environment, answers, signal });
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
