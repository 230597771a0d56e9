// What an experiment has found: figures, and whether its target was met. Pure.

/** @typedef {{ name: string, value: number, unit: string }} Figure */
/** @typedef {{ figures: Figure[], verdict: 'met' | 'missed' | 'does not apply', why: string }} Finding */

/** @throws Error when it is no number: nothing was measured then */
export function figure(name, value, unit) {
  if (!Number.isFinite(value)) throw new Error(`${name}: no number came out`);
  return { name, value, unit };
}

/**
 * @param {Figure[]} figures
 * @param {string[]} faults what is not as it should be; none: the target is met
 * @param {string} note said when it is met
 * @returns {Finding}
 */
export function judged(figures, faults, note = '') {
  return faults.length === 0
    ? { figures, verdict: 'met', why: note }
    : { figures, verdict: 'missed', why: faults.join('; ') };
}

/** @returns {Finding} */
export function doesNotApply(figures, why) {
  return { figures, verdict: 'does not apply', why };
}
