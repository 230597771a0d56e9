/** The options part of `--help`, made from the schema. Pure. */
import { type Command, environmentName, SETTINGS, type Setting } from './schema.js';
import { allowedValues } from './value.js';

const FLAG_COLUMN = 34;
const WIDTH = 100;

/** One entry per option of a subcommand, wrapped for a terminal of 100 columns. */
export function optionsHelp(command: Command): string {
  const settings = (SETTINGS as readonly Setting[]).filter((setting) => setting.commands.includes(command));
  const lines = settings.flatMap((setting) =>
    optionEntry(flagSyntax(setting), `${setting.doc}. ${facts(setting)}`),
  );
  lines.push(
    ...optionEntry('--config FILE', 'TOML file to read instead of ./stomp.toml.'),
    ...optionEntry('-h, --help', 'Show this help.'),
    ...optionEntry('-v, --version', 'Show the version.'),
  );
  return lines.join('\n');
}

/** `--port N`. */
export function flagSyntax(setting: Setting): string {
  const placeholder = PLACEHOLDERS[setting.type];
  return placeholder === '' ? `--${setting.name}` : `--${setting.name} ${placeholder}`;
}

/** The default as a reader would write it, or what unset means. */
export function defaultText(setting: Setting): string {
  return setting.default === undefined ? (setting.unset ?? 'unset') : String(setting.default);
}

const PLACEHOLDERS: Record<Setting['type'], string> = {
  integer: 'N',
  number: 'N',
  'number-choice': 'N',
  choice: 'NAME',
  string: 'NAME',
  path: 'PATH',
  boolean: '',
};

function facts(setting: Setting): string {
  const unit = 'unit' in setting && setting.unit ? ` ${setting.unit}` : '';
  const parts = [`default: ${defaultText(setting)}${setting.default === undefined ? '' : unit}`];
  if (setting.type !== 'string' && setting.type !== 'path' && setting.type !== 'boolean') {
    parts.push(allowedValues(setting) + (setting.default === undefined ? unit : ''));
  }
  return `[${[...parts, environmentName(setting.name)].join('; ')}]`;
}

/** A flag and what it does, wrapped, as lines. */
export function optionEntry(flag: string, text: string): string[] {
  const [first = '', ...rest] = wrap(text, WIDTH - FLAG_COLUMN);
  return [`  ${flag}`.padEnd(FLAG_COLUMN) + first, ...rest.map((line) => ' '.repeat(FLAG_COLUMN) + line)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
