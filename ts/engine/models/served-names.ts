/** The names a model goes by. Pure. */
import { basename } from 'node:path';

/** A short one, and the one it was asked for by. */
export function servedNames(model: string): { id: string; aliases: string[] } {
  const isPath = /^[./~\\]|\.gguf$/.test(model);
  const id = isPath ? basename(model).replace(/\.gguf$/, '') : model;
  const short = basename(model);
  return { id, aliases: [...new Set([model, short])].filter((name) => name !== id) };
}
