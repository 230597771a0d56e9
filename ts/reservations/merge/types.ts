/** A plan of a merge. */
import type { Warning } from '../types.js';

/** What may be in the way, in the order in which to deal with it: what others rest on comes first. */
export const mergeConflictKinds = [
  'dependency_conflict',
  'file_conflict',
  'add_add',
  'delete_edit',
  'move_edit',
  'rename_edit',
  'symbol_edit_overlap',
  'text_conflict',
  'signature_use',
  'delete_use',
] as const;
/** One of `mergeConflictKinds`. */
export type MergeConflictKind = (typeof mergeConflictKinds)[number];

export interface MergeConflict {
  readonly kind: MergeConflictKind;
  /** Where it is in the merged tree. */
  readonly path: string;
  /** Addresses. */
  readonly symbols: readonly string[];
  readonly description: string;
  readonly recommendation: string;
  /** What our side did. */
  readonly ours: string;
  /** What their side did. */
  readonly theirs: string;
  /** The plan has dealt with it; it is told so that somebody may look. */
  readonly isResolved: boolean;
  /** A merge of lines is in conflict here too. */
  readonly isTextual: boolean;
}

/** What a merged file holds: an object of the repository, or a text that was made. */
export type PlannedContent =
  | { readonly id: string }
  | { readonly text: string; readonly encoding: 'utf8' | 'latin1' };

export interface PlannedFile {
  readonly path: string;
  /** Who changed it; `both`: in the same way. */
  readonly status: 'ours' | 'theirs' | 'both' | 'merged' | 'conflict';
  readonly reason: string;
  /** Its name in the base, where that is another one. */
  readonly oldPath?: string;
  readonly isDeleted: boolean;
  /** As git writes it: `100644`, `100755`, `120000`, `160000`. */
  readonly mode?: string;
  /** Undefined for deleted files and conflicts. */
  readonly content?: PlannedContent;
  /** Of a conflict of texts: with markers. */
  readonly marked?: PlannedContent;
}

export interface MergeSide {
  readonly ref: string;
  readonly commit: string;
}

export interface MergePlan {
  /** Null: the sides have no common history. */
  readonly base: string | null;
  readonly ours: MergeSide;
  readonly theirs: MergeSide;
  /** Every file that either side changed. */
  readonly files: readonly PlannedFile[];
  readonly conflicts: readonly MergeConflict[];
  /** Paths with open conflicts, in the order in which to deal with them. */
  readonly order: readonly string[];
  readonly warnings: readonly Warning[];
}
