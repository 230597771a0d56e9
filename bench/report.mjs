// Results as Markdown: what was measured on, the table, the ceilings and the targets. Pure.

/** @typedef {import('./figures.mjs').Results} Results */
/** @typedef {import('./checks.mjs').Check} Check */

/** A figure in three digits. */
export function digits(value) {
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function cell(figure) {
  if (!figure) return '–';
  const { median, low, high, trials } = figure;
  return trials > 1 ? `${digits(median)} (${digits(low)}…${digits(high)})` : digits(median);
}

const row = (cells) => `| ${cells.join(' | ')} |`;

/** @param {Results} results */
export function machineLine({ about }) {
  const { cpu, cores, flags, threads, model, node, system, trials, date } = about;
  return `${cpu}, ${cores} cores (${flags}), ${threads} threads; ${model}; Node ${node}, ${system}; ${date}, up to ${trials} trials.`;
}

/** @param {Results} results */
export function table(results) {
  const { sides, cases } = results;
  const hasRival = sides.some((side) => !side.startsWith('stomp-serve'));
  const head = [
    'case',
    'unit',
    ...sides,
    ...(hasRival ? ['ratio', 'rival at its best'] : []),
    'limit',
    'share of it',
  ];
  const lines = cases.map((name) => {
    const own = sides.map((side) => results.figure(side, name));
    const unit = own.find(Boolean).unit;
    const ratio = results.ratio(name);
    const share = results.share('stomp-serve', name);
    return row([
      name,
      unit,
      ...own.map(cell),
      ...(hasRival ? [ratio ? ratio.toFixed(2) : '–', results.rival(name)?.variant ?? '–'] : []),
      share ? share.limit : '–',
      share ? `${(100 * share.share).toFixed(0)} %` : '–',
    ]);
  });
  const rule = head.map((name) => (/^(case|unit|limit|rival)/.test(name) ? '---' : '---:'));
  return [row(head), row(rule), ...lines].join('\n');
}

/** @param {Results} results */
export function ceilingTable({ ceilings }) {
  const lines = Object.entries(ceilings).map(([name, value]) =>
    row([name, digits(value), name.startsWith('read') ? 'GB/s' : 'GOP/s']),
  );
  return [row(['ceiling', 'measured', 'unit']), row(['---', '---:', '---']), ...lines].join('\n');
}

/** @param {Check[]} checks */
export function checkTable(checks) {
  const verdict = { true: 'ok', false: 'short', undefined: 'not measured' };
  const lines = checks.map(({ name, value, target, below, ok }) =>
    row([
      name,
      value === undefined ? '–' : digits(value),
      `${below ? '<' : '≥'} ${target}`,
      verdict[String(ok)],
    ]),
  );
  return [row(['target', 'measured', 'wanted', '']), row(['---', '---:', '---:', '---']), ...lines].join(
    '\n',
  );
}
