/** Characters that are there and not seen, or that turn the order of others around: what runs is not what one reads. */

// Controls and formats, but tabs and line ends; letters that are drawn as nothing.
const hidden = /(?![\t\n])[\p{Cc}\p{Cf}\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu;

/** As `U+202E`, each once. Pure. */
export function hiddenCharacters(text: string): string[] {
  const found = [...text.replaceAll('\r\n', '\n').matchAll(hidden)].map(
    ([character]) => character.codePointAt(0) ?? 0,
  );
  return [...new Set(found)].map((code) => `U+${code.toString(16).toUpperCase().padStart(4, '0')}`);
}
