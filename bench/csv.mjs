// One run as text: what it was measured on in comment lines, then one line a sample. Pure.

/**
 * @typedef {object} Sample one figure of one trial
 * @property {string} group
 * @property {string} name the case
 * @property {string} unit
 * @property {string} side
 * @property {string} variant empty where a side has one
 * @property {number} trial
 * @property {number} value
 */

const columns = ['group', 'case', 'unit', 'side', 'variant', 'trial', 'value'];

function checkField(text) {
  if (/[,"\n\r]/.test(text)) throw new Error(`a CSV field must have no comma, quote or line break: ${text}`);
  return text;
}

/**
 * @param {{ about: Record<string, string | number>, samples: Sample[] }} run
 * @returns {string}
 */
export function formatCsv({ about, samples }) {
  const head = Object.entries(about).map(([key, value]) => `# ${key}: ${value}`);
  const rows = samples.map((s) =>
    [s.group, s.name, s.unit, s.side, s.variant, s.trial, Number(s.value.toPrecision(6))]
      .map((field) => checkField(String(field)))
      .join(','),
  );
  return `${[...head, columns.join(','), ...rows].join('\n')}\n`;
}

/**
 * @param {string} text
 * @returns {{ about: Record<string, string>, samples: Sample[] }}
 * @throws Error that names the line
 */
export function parseCsv(text) {
  /** @type {Record<string, string>} */
  const about = {};
  /** @type {Sample[]} */
  const samples = [];
  let seenColumns = false;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const fact = line.match(/^# ([^:]+): ?(.*)$/);
    if (fact) about[fact[1]] = fact[2];
    else if (line === columns.join(',')) seenColumns = true;
    else if (line !== '') samples.push(parseRow(line, index + 1, seenColumns));
  }
  if (samples.length === 0) throw new Error('no figures in it');
  return { about, samples };
}

function parseRow(line, number, seenColumns) {
  const fields = line.split(',');
  const value = Number(fields[6]);
  if (!seenColumns || fields.length !== columns.length || !Number.isFinite(value)) {
    throw new Error(`line ${number} is not of this benchmark: ${line}`);
  }
  const [group, name, unit, side, variant, trial] = fields;
  return { group, name, unit, side, variant, trial: Number(trial), value };
}
