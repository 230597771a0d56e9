/** The files of a commit. */
import { modes, type Objects } from '../git/objects.js';
import type { Warning } from '../types.js';
import type { SourceFile, SourceTree } from './source.js';

const fileModes: ReadonlySet<string> = new Set([modes.file, modes.executable]);

export class GitTree implements SourceTree {
  readonly #objects: Objects;
  readonly #commit: string;
  warnings: readonly Warning[] = [];

  /** @param commit id of a commit. `objects` stay open; who made them closes them. */
  constructor(objects: Objects, commit: string) {
    this.#objects = objects;
    this.#commit = commit;
  }

  async files(): Promise<readonly SourceFile[]> {
    const { entries, warnings } = await this.#objects.tree(this.#commit);
    this.warnings = warnings;
    return [...entries.values()]
      .filter(({ mode }) => fileModes.has(mode))
      .map(({ path, id, bytes }) => ({ path, contentId: id, bytes }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  read(file: SourceFile): Promise<Uint8Array> {
    return this.#objects.read(file.contentId);
  }
}
