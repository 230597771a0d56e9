// Charts as SVG text: lines and bars, readable at 800 pixels and in light and dark. Pure.

const width = 800;
const height = 400;
const frame = { left: 76, right: 24, top: 74, bottom: 66 };
const plotWidth = width - frame.left - frame.right;
const plotHeight = height - frame.top - frame.bottom;
const bottom = height - frame.bottom;

// Okabe and Ito's colours: told apart by the colour-blind too, on white and on black.
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];

const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.value { font-size: 11px; }
.grid { stroke: #d1d9e0; } .axis { stroke: #59636e; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .grid { stroke: #3d444d; } .axis { stroke: #9198a1; } }
</style>`;

const colourOf = ({ colour }, i) => colours[(colour ?? i) % colours.length];

const escaped = (text) =>
  String(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

const rounded = (value) => Number(value.toFixed(1));

function text(x, y, content, { anchor = 'start', kind = '', turn = '' } = {}) {
  const extra = `${kind && ` class="${kind}"`}${turn && ` transform="${turn}"`}`;
  return `<text x="${rounded(x)}" y="${rounded(y)}" text-anchor="${anchor}"${extra}>${escaped(content)}</text>`;
}

/** Round numbers from 0 to at least `top`, four to six of them. */
export function ticks(top) {
  const rough = top / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, i) =>
    Number((i * step).toPrecision(12)),
  );
}

/** Powers of ten around the values. */
export function powers(low, high) {
  const from = Math.floor(Math.log10(low));
  const to = Math.max(from + 1, Math.ceil(Math.log10(high)));
  return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
}

/** A value in as many digits as a reader needs. */
export function short(value) {
  if (value >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}

function scaleOf(values, logarithmic) {
  const high = Math.max(...values);
  const marks = logarithmic ? powers(Math.min(...values), high) : ticks(high);
  const last = marks[marks.length - 1];
  const share = logarithmic ? (v) => Math.log(v / marks[0]) / Math.log(last / marks[0]) : (v) => v / last;
  return { marks, y: (v) => bottom - plotHeight * share(v) };
}

function grid({ marks, y }) {
  return marks.map(
    (mark) =>
      `<line class="grid" x1="${frame.left}" x2="${width - frame.right}" y1="${rounded(y(mark))}" y2="${rounded(y(mark))}"/>` +
      text(frame.left - 8, y(mark) + 4, mark >= 1000 ? mark.toLocaleString('en') : mark, { anchor: 'end' }),
  );
}

function legend(series) {
  let x = frame.left;
  return series.map((one, i) => {
    const { name } = one;
    const item =
      `<rect x="${rounded(x)}" y="46" width="12" height="12" rx="2" fill="${colourOf(one, i)}"/>` +
      text(x + 18, 57, name);
    x += 40 + 7.2 * name.length;
    return item;
  });
}

/** A label below the axis; a line break in it makes a second line. */
function place(label, x) {
  return label.split('\n').map((part, i) => text(x, bottom + 18 + 15 * i, part, { anchor: 'middle' }));
}

function document(title, { xLabel, yLabel, series }, scale, body) {
  const middle = frame.top + plotHeight / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">`,
    style,
    text(frame.left, 28, title, { kind: 'title' }),
    ...legend(series),
    ...grid(scale),
    `<line class="axis" x1="${frame.left}" x2="${width - frame.right}" y1="${bottom}" y2="${bottom}"/>`,
    ...body,
    text(frame.left + plotWidth / 2, height - 12, xLabel, { anchor: 'middle' }),
    text(20, middle, yLabel, { anchor: 'middle', turn: `rotate(-90 20 ${rounded(middle)})` }),
    '</svg>\n',
  ].join('\n');
}

/**
 * @typedef {object} Point
 * @property {number} median
 * @property {number} low
 * @property {number} high
 */

/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} xLabel
 * @property {string} yLabel with its unit
 * @property {string[]} labels places on the x axis, of one or two lines
 * @property {{ name: string, colour?: number, points: (Point | undefined)[] }[]} series one point a label; undefined:
 *   not measured. colour: a number, the same for one thing in several charts
 * @property {boolean} [logarithmic] the y axis
 */

const measured = ({ series }) => series.flatMap(({ points }) => points.filter((p) => p !== undefined));

function whisker(x, y, { low, high }, colour) {
  return `<line x1="${rounded(x)}" x2="${rounded(x)}" y1="${rounded(y(low))}" y2="${rounded(y(high))}" stroke="${colour}" stroke-width="1.5"/>`;
}

function line(points, x, y, colour) {
  const present = points.flatMap((point, i) => (point ? [{ at: x(i), point }] : []));
  const path = present.map(({ at, point }) => `${rounded(at)},${rounded(y(point.median))}`).join(' ');
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2.5"/>`,
    ...present.map(({ at, point }) => whisker(at, y, point, colour)),
    ...present.map(
      ({ at, point }) =>
        `<circle cx="${rounded(at)}" cy="${rounded(y(point.median))}" r="4" fill="${colour}"/>`,
    ),
  ];
}

/** @param {Chart} chart */
export function lineChart(chart) {
  const { labels, series } = chart;
  const scale = scaleOf(
    measured(chart).map((p) => p.high),
    chart.logarithmic,
  );
  const x = (i) => frame.left + (plotWidth * (i + 0.5)) / labels.length;
  const body = [
    ...labels.flatMap((label, i) => place(label, x(i))),
    ...series.flatMap((one, i) => line(one.points, x, scale.y, colourOf(one, i))),
  ];
  return document(chart.title, chart, scale, body);
}

function bar(point, x, barWidth, y, colour) {
  const top = y(point.median);
  return [
    `<rect x="${rounded(x)}" y="${rounded(top)}" width="${rounded(barWidth)}" height="${rounded(bottom - top)}" fill="${colour}"/>`,
    text(x + barWidth / 2, top - 6, short(point.median), { anchor: 'middle', kind: 'value' }),
  ];
}

/** @param {Chart} chart */
export function barChart(chart) {
  const { labels, series } = chart;
  const scale = scaleOf(
    measured(chart).map((p) => p.median),
    chart.logarithmic,
  );
  const room = plotWidth / labels.length;
  const barWidth = Math.min(56, (room * 0.8) / series.length);
  const start = (i) => frame.left + room * (i + 0.5) - (barWidth * series.length) / 2;
  const body = [
    ...labels.flatMap((label, i) => place(label, frame.left + room * (i + 0.5))),
    ...series.flatMap((one, s) =>
      one.points.flatMap((point, i) =>
        point ? bar(point, start(i) + barWidth * s, barWidth - 2, scale.y, colourOf(one, s)) : [],
      ),
    ),
  ];
  return document(chart.title, chart, scale, body);
}
