/** Letters without case. */

/**
 * Folds each character by itself, so that what is part of a text is also part of it folded: whole texts in lower case
 * are not so, because the sigma at the end of a word differs. Upper case first joins those that share it.
 */
export function fold(text: string): string {
  return text
    .replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    .replace(/[^\0-\x7f]/gu, (letter) => letter.toUpperCase().toLowerCase());
}
