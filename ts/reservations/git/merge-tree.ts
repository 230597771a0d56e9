/** What git itself makes of a merge. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { devNull, tmpdir } from 'node:os';
import path from 'node:path';
import { type GitOutput, git } from './git.js';
import type { Repository } from './repository.js';

/** Exit code of a git that has no such option: older than 2.38. */
const unknownOption = 129;

const sha1Config = '[core]\n\trepositoryformatversion = 0\n\tbare = true\n';
const sha256Config =
  '[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n';

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
    const workshop = await Workshop.open(repository, ours.length > 40);
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

/**
 * A repository for the objects that git makes on the way; those of the other one are seen through it. Settings and
 * attributes of that one are not: they can name programs for git to run when it merges.
 */
class Workshop {
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(folder: string, commonDir: string) {
    this.#folder = folder;
    this.#environment = {
      GIT_DIR: folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: devNull,
      GIT_ATTR_NOSYSTEM: '1',
      // A list of folders; quoted, so that any name is one of them.
      GIT_ALTERNATE_OBJECT_DIRECTORIES: JSON.stringify(path.join(commonDir, 'objects')),
    };
  }

  static async open({ commonDir, isShallow }: Repository, isSha256: boolean): Promise<Workshop> {
    const folder = await mkdtemp(path.join(tmpdir(), 'stomp-merge-'));
    const workshop = new Workshop(folder, commonDir);
    try {
      await Promise.all(['objects', 'refs'].map((name) => mkdir(path.join(folder, name))));
      await writeFile(path.join(folder, 'HEAD'), 'ref: refs/heads/none\n');
      await writeFile(path.join(folder, 'config'), isSha256 ? sha256Config : sha1Config);
      // Where history was cut off, which the commits themselves do not say.
      if (isShallow) await copyFile(path.join(commonDir, 'shallow'), path.join(folder, 'shallow'));
      return workshop;
    } catch (error) {
      await workshop.close();
      throw error;
    }
  }

  git(args: readonly string[], answers: readonly number[], signal?: AbortSignal): Promise<GitOutput> {
    return git(args, { cwd: this.#folder, environment: this.#environment, answers, signal });
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
