/** Fingerprints of pieces of source text. */
import { createHash } from 'node:crypto';

/** 128 bits of SHA-256: enough to tell texts apart, and half as much to keep. */
export function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/** Without blank space at line ends, so that line endings and editors make no difference. */
export function bodyHash(text: string): string {
  return hashText(trimLines(text));
}

/** Line breaks, spaces and a last comma in brackets make no other signature. */
export function signatureHash(text: string): string {
  const oneLine = text.replace(/\s+/g, ' ').replace(/ ?([()[\]{},:;<>=*|&?]) ?/g, '$1');
  return hashText(oneLine.replace(/,([)\]}>])/g, '$1').trim());
}

/** @param name the symbol's own name, which makes no difference wherever it stands in the text. */
export function shapeHash(text: string, name: string): string {
  const trimmed = trimLines(text);
  // What is no name cannot be told from other text.
  if (!/^[\p{L}\p{N}_$]+$/u.test(name)) return hashText(trimmed);
  const escaped = name.replaceAll('$', '\\$');
  const own = new RegExp(`(?<![\\p{L}\\p{N}_$])${escaped}(?![\\p{L}\\p{N}_$])`, 'gu');
  return hashText(trimmed.replace(own, '\u0000'));
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
