/** From the bytes of a file to its symbols, or to the reason why it is known as a whole only. */
import { type Content, type ExtractOptions, extract, fileLevel } from './extract.js';
import { languageOf } from './languages.js';

/** Larger files are generated or data. */
export const maxSourceBytes = 2 * 1024 * 1024;

// Where git looks, too.
const binaryProbeBytes = 8000;

/** @returns why nobody need look into a file; undefined when it may have symbols. */
export function passedOver(path: string, bytes: number): Content | undefined {
  const language = languageOf(path);
  if (language === undefined) return fileLevel(undefined, 'No language here reads such files.');
  if (bytes <= maxSourceBytes) return undefined;
  return fileLevel(language.name, `It is larger than ${maxSourceBytes} bytes.`);
}

export async function readFile(path: string, bytes: Uint8Array, options?: ExtractOptions): Promise<Content> {
  const none = passedOver(path, bytes.length);
  const language = languageOf(path);
  if (none || language === undefined) return none ?? fileLevel(undefined, 'No language here reads it.');
  if (bytes.subarray(0, binaryProbeBytes).includes(0)) return fileLevel(language.name, 'It is binary.');
  const text = decoded(bytes);
  if (text === undefined) return fileLevel(language.name, 'It is not UTF-8.');
  return extract(text, language, options);
}

function decoded(bytes: Uint8Array): string | undefined {
  try {
    // A mark at the beginning stays, so that places in the text are places in the file.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
