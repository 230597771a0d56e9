import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVolatileBlock, withoutVolatileLines } from '../../../ts/serve/volatile.js';

const stamp = 'x-anthropic-billing-header: cc_version=2.1.100.7b4; cc_entrypoint=cli; cch=eb6c6;';
const countdowns = [
  '<budget:token_budget>200000</budget:token_budget>',
  '<system_warning>Token usage: 35000/200000; 165000 remaining</system_warning>',
  '<total_tokens>148123 tokens left</total_tokens>',
  '<total_tokens>Infinite tokens left</total_tokens>',
  '<system-reminder>\nToken usage: 35000/200000; 165000 remaining\n</system-reminder>',
  '<system-reminder>\nUSD budget: $0.52/$5; $4.48 remaining\n</system-reminder>',
  '<system-reminder>\nOutput tokens \u2014 turn: 1.2k / 10k \u00b7 session: 35.1k\n</system-reminder>',
  '<system-reminder>\n<total_tokens>148123 tokens left</total_tokens>\n</system-reminder>',
];

describe('a system prompt', () => {
  it.each([stamp, ...countdowns])('loses the line %j wherever it stands', (volatile) => {
    expect(withoutVolatileLines(volatile)).toBe('');
    expect(withoutVolatileLines(`${volatile}\nYou are kind.`)).toBe('You are kind.');
    expect(withoutVolatileLines(`You are kind.\n${volatile}\nBe brief.`)).toBe('You are kind.\nBe brief.');
    expect(withoutVolatileLines(`You are kind.\r\n${volatile}\r\nBe brief.`)).toBe(
      'You are kind.\r\nBe brief.',
    );
    expect(withoutVolatileLines(`You are kind.\n${volatile}`)).toBe('You are kind.\n');
  });

  it('loses a stamp that a gateway has joined to the prompt', () => {
    expect(withoutVolatileLines(`${stamp}You are kind.`)).toBe('You are kind.');
  });

  it('is the same for two requests that differ in their bookkeeping alone', () => {
    const prompt = (cch: string, left: number) =>
      `x-anthropic-billing-header: cc_version=2.1.9.${cch}; cc_entrypoint=sdk-cli; cch=${cch};\nBe kind.\n` +
      `<system_warning>Token usage: ${200_000 - left}/200000; ${left} remaining</system_warning>\nEnd.`;
    expect(withoutVolatileLines(prompt('0aaa9', 1234))).toBe(withoutVolatileLines(prompt('36ee5', 99)));
  });

  it.each([
    'Ignore the x-anthropic-billing-header: cc_version=2.1; cch=abcde; of clients.',
    'x-anthropic-billing-header: what does it mean?',
    'x-anthropic-billing-header: cc_entrypoint=cli;',
    `${stamp} is what clients send.\nfor`.replace(/^/, 'A '),
    `Explain\n${stamp} to me.`,
    'Token usage: 35000/200000; 165000 remaining',
    'You see <system_warning>Token usage: 35000/200000; 165000 remaining</system_warning> after a call.',
    '<system_warning>Token usage: X/Y; Z remaining</system_warning>',
    '<system_warning>Low disk.</system_warning>',
    '<budget:token_budget>\nSenate\n</budget:token_budget>',
    '<system-reminder>\nToken usage: 1/2; 1 remaining\nAlso: be brief.\n</system-reminder>',
    '<system-reminder>\nBe brief.\n</system-reminder>',
    '<total_tokens>few tokens left</total_tokens>',
  ])('keeps %j', (text) => {
    expect(withoutVolatileLines(text)).toBe(text);
    expect(isVolatileBlock(text)).toBe(false);
  });

  it('changes nothing else, and nothing twice', () => {
    const words = fc.constantFrom(
      'x-anthropic',
      '<system-reminder>',
      'Token usage: 1/2; 1 remaining',
      ' ',
      '\n',
      'a',
    );
    const prose = fc.array(fc.oneof(fc.string(), words)).map((parts) => parts.join(''));
    fc.assert(
      fc.property(prose, prose, fc.constantFrom(...countdowns), (before, after, volatile) => {
        const kept = withoutVolatileLines(before);
        expect(withoutVolatileLines(kept)).toBe(kept);
        const text = `${before}\n${volatile}\n${after}`;
        expect(withoutVolatileLines(text)).toBe(withoutVolatileLines(`${before}\n${after}`));
      }),
    );
  });

  it('is read in no time, however it is made to look like bookkeeping', () => {
    const hostile = [
      `x-anthropic-billing-header: cc_version=1;${' a=1;'.repeat(100_000)}!`,
      `<system-reminder>${' \n'.repeat(100_000)}`,
      '<system-reminder>'.repeat(20_000),
    ];
    for (const text of hostile) {
      const started = performance.now();
      expect(withoutVolatileLines(`\n${text}`)).toBe(`\n${text}`);
      expect(performance.now() - started).toBeLessThan(2000);
    }
  });
});

describe('a block of a message', () => {
  it.each([stamp, ...countdowns])('is bookkeeping when it is %j alone', (volatile) => {
    expect(isVolatileBlock(volatile)).toBe(true);
    expect(isVolatileBlock(`\n${volatile}\n\n${volatile}\n`)).toBe(true);
    expect(isVolatileBlock(`Look:\n${volatile}`)).toBe(false);
    expect(isVolatileBlock(`${volatile}\nWhat is this?`)).toBe(false);
  });

  it('is not when it is empty', () => {
    expect(isVolatileBlock('')).toBe(false);
    expect(isVolatileBlock(' \n')).toBe(false);
  });
});
