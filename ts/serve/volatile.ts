/**
 * Lines that clients put into a prompt for bookkeeping and that change from request to request: a billing
 * stamp, a countdown of tokens. In a prompt they would end the cached prefix where they stand, and give one
 * conversation a new name each turn. Only what matches to the last character is left out. Pure.
 */

/** `key=value;` pairs of the stamp, the client's version first. */
const STAMP = 'x-anthropic-billing-header:[ \\t]*cc_version=[^;\\s]*;(?:[ \\t]*[a-z_]+=[^;\\s]*;)*';

const COUNT = '\\d[\\d,]*';
const USAGE = `Token usage: ${COUNT}/${COUNT}; ${COUNT} remaining`;
const MONEY = '\\$-?\\d[\\d,.]*';
/** A number as it is shown to people: 950, 1.2k, 3m. */
const SHORT = '\\d[\\d,.]*[kKmM]?';

const COUNTDOWNS = [
  `<budget:token_budget>${COUNT}</budget:token_budget>`,
  `<system_warning>${USAGE}</system_warning>`,
  `<total_tokens>(?:${COUNT}|Infinite) tokens left</total_tokens>`,
];

/** What a reminder may hold instead of a tag. */
const REMINDED = [
  ...COUNTDOWNS,
  USAGE,
  `USD budget: ${MONEY}/${MONEY}; ${MONEY} remaining`,
  `Output tokens \u2014 turn: ${SHORT}(?: / ${SHORT})? \u00b7 session: ${SHORT}`,
];

const REMINDER = `<system-reminder>\\s*(?:${REMINDED.join('|')})\\s*</system-reminder>`;
const ALTERNATIVES = [STAMP, REMINDER, ...COUNTDOWNS].join('|');

/** With the end of its line, so that no empty one stays behind. */
const line = new RegExp(`^[ \\t]*(?:${ALTERNATIVES})[ \\t]*(?:\\r?\\n|$(?![^]))`, 'gm');
const stampAtStart = new RegExp(`^${STAMP}`);
const whole = new RegExp(`^\\s*(?:(?:${ALTERNATIVES})\\s*)+$`);

/** Spares texts without any of them the search. */
const hints = [
  'x-anthropic-billing-header:',
  '_budget>',
  'system_warning>',
  'total_tokens>',
  'system-reminder>',
];

/**
 * For system prompts: the text without the lines that are bookkeeping alone. A stamp at the very beginning
 * goes even where the prompt follows it on the same line, as gateways join them.
 */
export function withoutVolatileLines(text: string): string {
  if (!hints.some((hint) => text.includes(hint))) return text;
  return text.replace(line, '').replace(stampAtStart, '');
}

/**
 * Whether a block of a message holds bookkeeping and nothing else. What people and tools say is never cut:
 * a file may quote such a line.
 */
export function isVolatileBlock(text: string): boolean {
  return text.length <= MAX_BLOCK_LENGTH && whole.test(text);
}

/** No bookkeeping is longer. */
const MAX_BLOCK_LENGTH = 1000;
