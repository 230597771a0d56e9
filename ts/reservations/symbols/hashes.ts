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
  return hashText(without(name, trimLines(text)));
}

/** Takes a name out of a text, but not where it is a part of a longer one. */
function without(name: string, text: string): string {
  if (name === '') return text;
  const parts: string[] = [];
  let start = 0;
  // Searching like this is many times faster than with an expression made for each name.
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + name.length)) {
    const isPart = isNamePart(text[at - 1]) || isNamePart(text[at + name.length]);
    if (isPart) continue;
    parts.push(text.slice(start, at));
    start = at + name.length;
  }
  return [...parts, text.slice(start)].join('\u0000');
}

function isNamePart(character: string | undefined): boolean {
  return character !== undefined && /[\p{L}\p{N}_$]/u.test(character);
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
