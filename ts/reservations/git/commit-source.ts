/** The files of one commit. */
import type { SourceFile, SourceTree } from '../symbols/source.js';
import { modes, type Objects } from './objects.js';

export class CommitSource implements SourceTree {
  readonly #objects: Objects;
  readonly #commit: string;

  /** `objects` stay open as long as this is used. */
  constructor(objects: Objects, commit: string) {
    this.#objects = objects;
    this.#commit = commit;
  }

  async files(): Promise<readonly SourceFile[]> {
    const { entries } = await this.#objects.tree(this.#commit);
    return [...entries.values()]
      .filter(({ mode }) => mode === modes.file || mode === modes.executable)
      .map(({ path, id, bytes }) => ({ path, contentId: id, bytes }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  read(file: SourceFile): Promise<Uint8Array> {
    return this.#objects.read(file.contentId);
  }
}
