/** Texts made from the schema that live in files: the reference, `default.toml`, `.env.example`. Pure. */
import { defaultText } from './help.js';
import { environmentName, SETTINGS, type Setting } from './schema.js';
import { allowedValues } from './value.js';

/** The reference of all settings in Markdown: a heading and a table for each table of TOML. */
export function settingsReference(): string {
  const header = ['Flag', 'Environment', 'TOML', 'Default', 'Allowed', 'What it does'];
  const sections = [...tables()].map(([table, settings]) => {
    const rows = [header, header.map(() => '---'), ...settings.map(referenceRow)];
    return [`### \`[${table}]\``, '', ...rows.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');
  });
  return `${sections.join('\n\n')}\n`;
}

function referenceRow(setting: Setting): string[] {
  return [
    `\`--${setting.name}\``,
    `\`${environmentName(setting.name)}\``,
    `\`${setting.toml}\``,
    setting.default === undefined ? defaultText(setting) : `\`${defaultText(setting)}\``,
    `${allowedValues(setting)}${unitOf(setting)}`,
    `${setting.doc.replaceAll('*', '\\*')} (${setting.commands.map((name) => `\`${name}\``).join(', ')})`,
  ];
}

/** `config/default.toml`: every key with its default; the ones without a default as comments. */
export function defaultToml(): string {
  const lines = [
    '# Every setting with its default. Copy what you want to change into ./stomp.toml, or into a file named',
    '# with --config; flags, STOMP_ variables and .env win over files.',
  ];
  for (const [table, settings] of tables()) {
    lines.push('', `[${table}]`);
    for (const setting of settings) lines.push(...tomlEntry(setting));
  }
  return `${lines.join('\n')}\n`;
}

/** `.env.example`: every variable as a comment. */
export function environmentExample(): string {
  const lines = [
    '# Copy to .env in the folder you start the server from and uncomment what you want to change.',
    '# Variables of the process win over this file, flags win over both.',
    '',
    '# Adds config/<name>.toml as a layer between stomp.toml and the defaults.',
    '# STOMP_ENV=test',
    '',
    '# TOML file to read instead of ./stomp.toml.',
    '# STOMP_CONFIG=stomp.toml',
  ];
  for (const setting of SETTINGS as readonly Setting[]) {
    const value = setting.default === undefined ? '' : String(setting.default);
    lines.push('', ...comment(setting), `# ${environmentName(setting.name)}=${value}`);
  }
  return `${lines.join('\n')}\n`;
}

function tomlEntry(setting: Setting): string[] {
  const key = setting.toml.slice(setting.toml.indexOf('.') + 1);
  const value = setting.default;
  const written = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return [...comment(setting), value === undefined ? `# ${key} =` : `${key} = ${written}`];
}

function comment(setting: Setting): string[] {
  const unset = setting.default === undefined ? ` Unset: ${defaultText(setting)}.` : '';
  const allowed = allowedValues(setting);
  const sentence = allowed.charAt(0).toUpperCase() + allowed.slice(1);
  return [`# ${setting.doc}.`, `# ${sentence}${unitOf(setting)}.${unset}`];
}

function tables(): Map<string, Setting[]> {
  const grouped = new Map<string, Setting[]>();
  for (const setting of SETTINGS as readonly Setting[]) {
    const table = setting.toml.slice(0, setting.toml.indexOf('.'));
    grouped.set(table, [...(grouped.get(table) ?? []), setting]);
  }
  return grouped;
}

function unitOf(setting: Setting): string {
  return 'unit' in setting && setting.unit ? ` (${setting.unit})` : '';
}
