/**
 * Other names of models, as one setting holds them, separated by commas: `NAME` of whichever model is loaded, with a `*`
 * at its end at most, and `NAME=MODEL` of that one. Pure.
 */

/** Of whichever model is loaded. */
export function aliasNames(text: string): string[] {
  return entries(text).filter((entry) => !entry.includes('='));
}

/** Models by the further names that they have. REQUIRES: `refuseAliases` finds nothing. */
export function modelAliases(text: string): Record<string, string> {
  const pairs = entries(text).filter((entry) => entry.includes('='));
  return Object.fromEntries(pairs.map((pair) => pair.split('=').map((part) => part.trim())));
}

/** Why a list cannot be had; undefined when it can. */
export function refuseAliases(text: string): string | undefined {
  for (const entry of entries(text)) {
    const [name = '', model, ...more] = entry.split('=').map((part) => part.trim());
    const isPair = model !== undefined;
    if (isPair && (name === '' || model === '' || more.length > 0 || name.includes('*')))
      return `${JSON.stringify(entry)} is not NAME=MODEL`;
    if (name.slice(0, -1).includes('*'))
      return `a * stands at the end of a name only, not as in ${JSON.stringify(name)}`;
  }
  return undefined;
}

function entries(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
