/** Where the text of a repository's files comes from: its working tree, or one of its commits. */

import type { Warning } from '../types.js';

export interface SourceFile {
  /** With slashes, relative to the root. */
  readonly path: string;
  /** Tells one content from another; the same id for the same bytes. */
  readonly contentId: string;
  readonly bytes: number;
}

export interface SourceTree {
  /** What the last listing left out, and why. */
  readonly warnings?: readonly Warning[];
  /** In order of their paths; no folders, links or submodules. */
  files(signal?: AbortSignal): Promise<readonly SourceFile[]>;
  /** @returns the bytes; undefined when the file has gone meanwhile, or has other bytes now. */
  read(file: SourceFile): Promise<Uint8Array | undefined>;
}
