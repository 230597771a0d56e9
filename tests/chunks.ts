/** What tests read of a generation's chunks. */
import type { GenerationChunk } from '../ts/engine/types.js';

/** The answer's text; nothing of thoughts and calls. */
export function textOf(chunk: GenerationChunk): string {
  return chunk.type === 'text' ? chunk.text : '';
}
