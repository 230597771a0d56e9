// Which plots a run has. Pure.
import { barChart, lineChart } from './svg.mjs';

/** @typedef {import('./figures.mjs').Results} Results */

/** Cases by the label they get on the x axis; those nobody was measured on are left out. */
function chart(results, { cases, ...rest }) {
  const present = cases.filter(([, name]) => results.cases.includes(name));
  const series = results.sides
    .map((side, colour) => ({
      name: side,
      colour,
      points: present.map(([, name]) => results.figure(side, name)),
    }))
    .filter(({ points }) => points.some(Boolean));
  return { ...rest, labels: present.map(([label]) => label), series };
}

const shareCases = [
  ...[512, 2048, 6144].map((n) => [`prefill\n${n}`, `prefill ${n}`]),
  ['alone\nshort', 'decode short'],
  ...['512', '1K', '2K', '4K'].map((n) => [`alone\n${n}`, `decode at ${n}`]),
  ...[4, 8, 16].map((n) => [`sum\n${n}`, `sum over ${n}`]),
  ['8 × 2K\nprivate', 'sum over 8 at 2K private'],
  ['8 × 2K\nshared', 'sum over 8 at 2K shared'],
];

/** Shares of the limit, of our side alone. */
function shares(results) {
  const found = shareCases.flatMap(([label, name]) => {
    const at = results.share('stomp-serve', name);
    return at ? [{ label, value: 100 * at.share }] : [];
  });
  const points = found.map(({ value }) => ({ median: value, low: value, high: value }));
  return {
    title: 'Share of what the machine allows',
    xLabel: 'case',
    yLabel: '% of the limit',
    labels: found.map(({ label }) => label),
    series: [{ name: 'stomp-serve', points }],
  };
}

const plots = {
  sum: {
    draw: lineChart,
    title: 'Many agents at once, short prompts',
    xLabel: 'agents decoded together',
    yLabel: 'tokens/s, sum over all agents',
    cases: [1, 2, 3, 4, 6, 8, 12, 16].map((n) => [String(n), `sum over ${n}`]),
  },
  decode: {
    draw: lineChart,
    title: 'One agent alone, by length of its context',
    xLabel: 'context in tokens',
    yLabel: 'tokens/s',
    cases: [['24', 'decode short'], ...['512', '1K', '2K', '4K'].map((n) => [n, `decode at ${n}`])],
  },
  'sum-2k': {
    draw: barChart,
    title: 'Eight agents at 2K context',
    xLabel: 'what the agents have in common',
    yLabel: 'tokens/s, sum over all agents',
    cases: [
      ['nothing', 'sum over 8 at 2K private'],
      ['a prefix of 2K', 'sum over 8 at 2K shared'],
    ],
  },
  prefill: {
    draw: barChart,
    title: 'Reading a prompt',
    xLabel: 'prompt in tokens',
    yLabel: 'tokens/s',
    cases: [512, 2048, 6144].map((n) => [String(n), `prefill ${n}`]),
  },
  'first-token': {
    draw: barChart,
    title: 'Time to the first token',
    xLabel: 'how the agent comes (prompt of 2K or 6K tokens)',
    yLabel: 'ms, logarithmic',
    logarithmic: true,
    cases: ['cold 2K', 'shared prefix 2K', 'returning 2K', 'restored 2K', 'cold 6K', 'restored 6K'].map(
      (name) => [name, `first token ${name}`],
    ),
  },
};

/**
 * @param {Results} results
 * @returns {{ name: string, title: string, svg: string }[]} plots of what was measured
 */
export function plotsOf(results) {
  const drawn = Object.entries(plots).map(([name, { draw, ...rest }]) => ({
    name,
    draw,
    chart: chart(results, rest),
  }));
  drawn.push({ name: 'limits', draw: barChart, chart: shares(results) });
  return drawn
    .filter((plot) => plot.chart.labels.length > 0 && plot.chart.series.length > 0)
    .map((plot) => ({ name: plot.name, title: plot.chart.title, svg: plot.draw(plot.chart) }));
}
