/** The content of files as text. Pure. */
import { createHash } from 'node:crypto';
import { checkChoice, checkInteger, refuse } from './arguments.js';
import { StompError } from './errors.js';

/** Lower-case hex. */
export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @throws StompError INVALID_REQUEST */
export function contentOf(content: unknown, encoding: 'utf8' | 'base64' | undefined): Buffer {
  if (typeof content !== 'string') refuse('content', content, 'a text');
  const kind = checkChoice('encoding', encoding, 'utf8', ['utf8', 'base64'] as const);
  const bytes = Buffer.from(content, kind);
  // Both would be taken for something else without a word.
  if (bytes.toString(kind) !== content)
    refuse('content', content, kind === 'utf8' ? 'text without lone surrogates' : 'base64');
  return bytes;
}

/** @throws StompError INVALID_REQUEST when it is not UTF-8 text */
export function textOf(bytes: Buffer, file: string): string {
  const binary = bytes.includes(0);
  try {
    if (!binary) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // said below
  }
  throw new StompError(
    'INVALID_REQUEST',
    `${file} is a binary file: read it as "base64"; it cannot be edited as text.`,
    { fields: { file } },
  );
}

export interface TextEdit {
  oldText: string;
  newText: string;
  expectedReplacements?: number;
}

/** @throws StompError INVALID_REQUEST when `oldText` does not occur as often as expected */
export function editedText(
  text: string,
  edit: TextEdit,
  file: string,
): { text: string; replacements: number } {
  const { oldText, newText } = edit;
  if (typeof oldText !== 'string' || oldText === '') refuse('oldText', oldText, 'the text to replace');
  if (typeof newText !== 'string') refuse('newText', newText, 'a text');
  const expected = checkInteger('expectedReplacements', edit.expectedReplacements, 1, {
    min: 1,
    max: 2 ** 31,
  });
  const parts = text.split(oldText);
  const replacements = parts.length - 1;
  if (replacements === expected) return { text: parts.join(newText), replacements };
  const found = replacements === 0 ? 'does not occur' : `occurs ${replacements} times, not ${expected}`;
  throw new StompError(
    'INVALID_REQUEST',
    `oldText ${found} in ${file}. Quote more of what is around it, or say how many "expectedReplacements" there are.`,
    { fields: { field: 'oldText', file, expected_replacements: expected, found_replacements: replacements } },
  );
}
