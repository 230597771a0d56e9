/** Files as an index would give them, from their texts. */
import { readFile } from '../../../ts/reservations/symbols/read-file.js';
import type { FileSymbols } from '../../../ts/reservations/symbols/symbols.js';

export async function readFiles(texts: Readonly<Record<string, string>>): Promise<FileSymbols[]> {
  const files: FileSymbols[] = [];
  for (const [path, text] of Object.entries(texts)) {
    const content = await readFile(path, Buffer.from(text));
    if (content.problem !== undefined) throw new Error(`${path}: ${content.problem}`);
    files.push({ path, contentId: path, ...content });
  }
  return files;
}

/** As a merge plan asks for them: a file that cannot be read comes with its problem. */
export async function symbolsOf(path: string, text: string): Promise<FileSymbols> {
  return { path, contentId: '', ...(await readFile(path, Buffer.from(text))) };
}
