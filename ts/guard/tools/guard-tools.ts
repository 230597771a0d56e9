/** The guard's tools. */
import type { ToolSet } from '../../tools/toolbox.js';
import type { DocgenGuard } from '../docgen.js';
import type { FileGuard } from '../files.js';
import type { Maasl } from '../maasl.js';
import { fileTools } from './file-tools.js';
import { lockTools } from './lock-tools.js';
import { lookingTools } from './looking-tools.js';

/** What the guard's tools work with. */
export interface GuardToolsOptions {
  readonly maasl: Maasl;
  readonly files: FileGuard;
  readonly docgen?: Pick<DocgenGuard, 'status'> | undefined;
}

/** Other names that clients know them by. */
const aliases = {
  'llmc.locks': 'locks',
  'llmc.stomp_stats': 'stomp_stats',
  'llmc.docgen_status': 'docgen_status',
};

// In JSON text is seldom longer than twice its bytes, and base64 never is.
const longestEncoding = 2;
const otherArgumentsBytes = 64 << 10;

/** Every tool of a guard, for a toolbox. */
export function guardTools(options: GuardToolsOptions): ToolSet {
  const { roots, maxFileBytes } = options.files;
  return {
    topic: 'locks and guarded files',
    instructions: instructions(roots),
    tools: [...lookingTools(options), ...lockTools(options), ...fileTools(options)],
    aliases,
    // To write the largest file, as base64 if need be.
    maxRequestBytes: longestEncoding * maxFileBytes + otherArgumentsBytes,
  };
}

function instructions(roots: readonly string[]): string {
  return (
    `Several agents work on the files below ${roots.join(', ')} at the same time; these tools keep them ` +
    'from overwriting each other. Read a file with fs_read and pass its sha256 as expected_sha256 when you write or ' +
    'edit it: STALE_VERSION says that somebody was faster; read again. RESOURCE_BUSY says who is at work on it. To ' +
    'keep something to yourself over several calls take it with lock_acquire, and give it back with lock_release.'
  );
}
