/**
 * Characters that are there and not seen, or that turn the order of others around: what runs is not what one reads. No
 * import of Node: the dashboard has this file too.
 */

// Controls, formats, what is drawn as nothing, and line ends that no editor breaks a line at; but for tabs, lines, and the
// selector that makes a picture of a sign.
const hidden =
  /(?![\t\n])(?!(?<=\p{Extended_Pictographic})\ufe0f)[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}\u2800]/gu;

/** As `U+202E`, each once. Pure. */
export function hiddenCharacters(text: string): string[] {
  const found = [...text.replaceAll('\r\n', '\n').matchAll(hidden)].map(
    ([character]) => character.codePointAt(0) ?? 0,
  );
  return [...new Set(found)].map((code) => `U+${code.toString(16).toUpperCase().padStart(4, '0')}`);
}
