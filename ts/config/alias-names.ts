/** Other names of a model, as one setting holds them: separated by commas, each with a `*` at its end at most. Pure. */

export function aliasNames(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Why a list cannot be had; undefined when it can. */
export function refuseAliases(text: string): string | undefined {
  const wrong = aliasNames(text).find((name) => name.slice(0, -1).includes('*'));
  return wrong === undefined
    ? undefined
    : `a * stands at the end of a name only, not as in ${JSON.stringify(wrong)}`;
}
