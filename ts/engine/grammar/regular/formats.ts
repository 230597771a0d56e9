/**
 * The values of `format` that are served: those that OpenAI documents for structured outputs, and `uri`. Here they
 * are held to, where JSON Schema alone would have them be notes. Each holds only texts that its RFC allows, in the
 * spelling that programs write: `T` and `Z` in upper case, no leap seconds, no quoted names in front of an `@`,
 * no internationalised labels.
 */
import { Work } from '../work.js';
import { type Automaton, languageAutomaton } from './automaton.js';
import { type Language, Languages } from './language.js';
import { patternLanguage } from './pattern-language.js';
import { allPoints } from './ranges.js';

// RFC 3339.
const date = [
  '(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])',
  '|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))',
  '|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)',
].join('');
const hours = '(?:[01]\\d|2[0-3])';
const time = `${hours}:[0-5]\\d:[0-5]\\d(?:\\.\\d{1,15})?(?:Z|[+-]${hours}:[0-5]\\d)`;

// RFC 3339, appendix A: a unit follows only the one before it.
const number = '\\d{1,9}';
const clock = `T(?:${number}H(?:${number}M(?:${number}S)?)?|${number}M(?:${number}S)?|${number}S)`;
const days = `(?:${number}Y(?:${number}M(?:${number}D)?)?|${number}M(?:${number}D)?|${number}D)`;
const duration = `P(?:${days}(?:${clock})?|${clock}|${number}W)`;

// RFC 3986 and what it names. Labels and their number are bounded so that no host has more than 253 characters.
const byte = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const ipv4 = `${byte}(?:\\.${byte}){3}`;
const label = (length: number) => `[A-Za-z0-9](?:[A-Za-z0-9\\-]{0,${length - 2}}[A-Za-z0-9])?`;
const hostname = `${label(63)}(?:\\.${label(37)}){0,5}`;
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]+";
const localPart = `${atom}(?:\\.${atom})*`;
const maxLocalCharacters = 64;

const group = '[0-9A-Fa-f]{1,4}';
const lastGroups = `(?:${group}:${group}|${ipv4})`;
const ipv6 = [
  `(?:${group}:){6}${lastGroups}`,
  `::(?:${group}:){5}${lastGroups}`,
  `(?:${group})?::(?:${group}:){4}${lastGroups}`,
  `(?:(?:${group}:){0,1}${group})?::(?:${group}:){3}${lastGroups}`,
  `(?:(?:${group}:){0,2}${group})?::(?:${group}:){2}${lastGroups}`,
  `(?:(?:${group}:){0,3}${group})?::${group}:${lastGroups}`,
  `(?:(?:${group}:){0,4}${group})?::${lastGroups}`,
  `(?:(?:${group}:){0,5}${group})?::${group}`,
  `(?:(?:${group}:){0,6}${group})?::`,
].join('|');

const percent = '%[0-9A-Fa-f]{2}';
const plain = "A-Za-z0-9\\-._~!$&'()*+,;=";
const pathCharacter = `(?:[${plain}:@]|${percent})`;
const host = `(?:\\[(?:${ipv6})\\]|(?:[${plain}]|${percent})*)`;
const authority = `(?:(?:[${plain}:]|${percent})*@)?${host}(?::\\d*)?`;
const path = `(?://${authority}(?:/${pathCharacter}*)*|/(?:${pathCharacter}+(?:/${pathCharacter}*)*)?|${pathCharacter}+(?:/${pathCharacter}*)*|)`;
const tail = `(?:[${plain}:@/?]|${percent})*`;
const uri = `[A-Za-z][A-Za-z0-9+.\\-]*:${path}(?:\\?${tail})?(?:#${tail})?`;

const hex = '[0-9A-Fa-f]';
const uuid = `${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{12}`;

const patterns: Readonly<Record<string, string>> = {
  'date-time': `${date}T${time}`,
  date,
  time,
  duration,
  hostname,
  ipv4,
  ipv6,
  uri,
  uuid,
};

/** The formats that are served. */
export const formatNames: readonly string[] = [...Object.keys(patterns), 'email'].sort();

/** The texts of a format; undefined when it is not served. */
export function formatLanguage(languages: Languages, name: string): Language | undefined {
  if (!formatNames.includes(name)) return undefined;
  return languages.named(`format ${name}`, () => makeLanguage(languages, name));
}

/** They are few and never change. */
const automata = new Map<string, Automaton>();

/** The automaton of a format, which must be one that is served. */
export function formatAutomaton(name: string): Automaton {
  const known = automata.get(name);
  if (known !== undefined) return known;
  const languages = new Languages(new Work());
  const made = languageAutomaton(languages, makeLanguage(languages, name), 'format');
  automata.set(name, made);
  return made;
}

function makeLanguage(languages: Languages, name: string): Language {
  if (name === 'email') return emailLanguage(languages);
  const language = whole(languages, patterns[name] ?? '');
  if (name !== 'hostname') return language;
  const reserved = patternLanguage(languages, '(?:^|\\.)[A-Za-z0-9]{2}--', 'format');
  return languages.both([language, languages.not(reserved)]);
}

function emailLanguage(languages: Languages): Language {
  const short = languages.repeat(languages.chars(allPoints), 1, maxLocalCharacters);
  const local = languages.both([whole(languages, localPart), short]);
  const host = makeLanguage(languages, 'hostname');
  return languages.concat([local, languages.text('@'), host]);
}

function whole(languages: Languages, pattern: string): Language {
  return patternLanguage(languages, `^(?:${pattern})$`, 'format');
}
