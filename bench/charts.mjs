// Which plots a run has. Pure.
import { barChart, lineChart } from './svg.mjs';

/** @typedef {import('./figures.mjs').Results} Results */

/** Cases by the label they get on the x axis; those nobody was measured on are left out. */
function chart(results, { cases, ...rest }) {
  const present = cases.filter(([, name]) => results.cases.includes(name));
  const series = results.sides
    .map((side) => ({ name: side, points: present.map(([, name]) => results.figure(side, name)) }))
    .filter(({ points }) => points.some(Boolean));
  return { ...rest, labels: present.map(([label]) => label), series };
}

/** Shares of the limit, of our side alone. */
function shares(results) {
  const found = results.cases
    .filter((name) => !name.startsWith('first token'))
    .flatMap((name) => {
      const at = results.share('stomp-serve', name);
      return at ? [[name, 100 * at.share]] : [];
    })
    // Every second size of a batch is enough here.
    .filter(([name]) => !/^sum over (2|3|6|12)$/.test(name));
  const label = (name) =>
    name
      .replace('decode ', 'd. ')
      .replace('prefill ', 'p. ')
      .replace('sum over ', 'sum ')
      .replace(' at 2K', ' 2K')
      .replace('private', 'priv.')
      .replace('shared', 'sh.');
  return {
    title: 'Share of what the machine allows',
    xLabel: 'case (d.: decode alone, p.: prefill, sum: over so many agents)',
    yLabel: '% of the limit',
    labels: found.map(([name]) => label(name)),
    series: [
      { name: 'stomp-serve', points: found.map(([, value]) => ({ median: value, low: value, high: value })) },
    ],
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
