/** The files of a commit. */
import { modes, type Objects } from '../git/objects.js';
import type { Warning } from '../types.js';
import type { SourceFile, SourceTree } from './source.js';

const fileModes: ReadonlySet<string> = new Set([modes.file, modes.executable]);

export class GitTree implements SourceTree {
  readonly #objects: Objects;
  readonly #commit: string;
  readonly #only: ReadonlySet<string> | undefined;
  warnings: readonly Warning[] = [];

  /**
   * @param commit id of a commit. `objects` stay open; who made them closes them.
   * @param only paths of the files that are asked for. Default: all
   */
  constructor(objects: Objects, commit: string, only?: ReadonlySet<string>) {
    this.#objects = objects;
    this.#commit = commit;
    this.#only = only;
  }

  async files(): Promise<readonly SourceFile[]> {
    const { entries, warnings } = await this.#objects.tree(this.#commit);
    this.warnings = warnings;
    return [...entries.values()]
      .filter(({ mode, path }) => fileModes.has(mode) && (this.#only?.has(path) ?? true))
      .map(({ path, id, bytes }) => ({ path, contentId: id, bytes }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  read(file: SourceFile): Promise<Uint8Array> {
    return this.#objects.read(file.contentId);
  }
}
