// What was found, as Markdown. Pure.
import { digits } from '../report.mjs';

/**
 * @typedef {object} Entry
 * @property {string} id `001`
 * @property {{ question: string, method: string, target: string }} about
 * @property {import('./verdict.mjs').Finding | { verdict: 'failed', why: string, figures: [] }} [finding] none: not run
 * @property {{ machine: string, date: string }} [on] where and when it was found
 */

const row = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

/** Whole numbers as they are, others in three digits. */
export const shown = (value) => (Number.isInteger(value) ? value.toLocaleString('en') : digits(value));

const why = ({ verdict, why: reason }) => (reason ? `${verdict}: ${reason}` : verdict);

/** @param {Entry[]} entries */
export function overview(entries) {
  const lines = entries.map(({ id, about, finding }) =>
    row([`EXP-${id}`, about.question, about.target, finding?.verdict ?? 'not run']),
  );
  return [row(['', 'question', 'target', 'found']), row(['---', '---', '---', '---']), ...lines].join('\n');
}

/** @param {Entry[]} entries those that were run, each with its figures */
export function details(entries) {
  return entries
    .filter(({ finding }) => finding !== undefined)
    .map(({ id, about, finding, on }) =>
      [
        `### EXP-${id}: ${about.question}`,
        `How: ${about.method}.`,
        `Target: ${about.target}. **${why(finding).replaceAll('\n', ' ')}**.`,
        [
          row(['figure', 'measured', 'unit']),
          row(['---', '---:', '---']),
          ...finding.figures.map(({ name, value, unit }) => row([name, shown(value), unit])),
        ].join('\n'),
        ...(on === undefined ? [] : [`${on.machine}; ${on.date}.`]),
      ].join('\n\n'),
    )
    .join('\n\n');
}

/** For a terminal: a line for each experiment and each figure. @param {Entry[]} entries */
export function summary(entries) {
  return entries
    .flatMap(({ id, about, finding }) => [
      `EXP-${id}  ${about.question}`,
      ...finding.figures.map(({ name, value, unit }) => `    ${name}: ${shown(value)} ${unit}`.trimEnd()),
      `    target: ${about.target}`,
      `    ${why(finding)}`,
    ])
    .join('\n');
}

/** For a terminal: only what came of each. @param {Entry[]} entries */
export function verdicts(entries) {
  return entries
    .map(({ id, about, finding }) => `EXP-${id}  ${finding.verdict.padEnd(14)}  ${about.question}`)
    .join('\n');
}
