import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonSchemaGrammar } from '../../../../ts/engine/grammar/json-schema.js';
import { Languages } from '../../../../ts/engine/grammar/regular/language.js';
import { patternLanguage } from '../../../../ts/engine/grammar/regular/pattern-language.js';
import { Work } from '../../../../ts/engine/grammar/work.js';
import { sentence } from './sentences.js';

const patterns = [
  ...[
    'a',
    '^a',
    'a$',
    '^a$',
    '',
    '^',
    '$',
    '^$',
    'a|b',
    '^a|b$',
    '(^a|b)c',
    'a(b|c$)',
    '^(?:a|^b)+?$'.replace('^b', 'b'),
  ],
  ...[
    'a{2}',
    '^a{2,}$',
    '^a{0,3}b$',
    '^(a*)*$',
    '^(?:a|ab)(?:c|bcd)*$',
    '^[a-c]+$',
    '[^a-c]',
    '^[\\w-]+$',
    '[]',
    '[^]',
  ],
  ...[
    '\\d+',
    '^\\D$',
    '^\\s\\S$',
    '^\\W+$',
    '.',
    '^.$',
    '^\\u{1F432}$',
    '^\\uD83D\\uDC32$',
    '\\cA',
    '\\x41',
    '\\0',
  ],
  ...[
    '^\\p{Lu}\\P{Lu}$',
    '^(?<year>\\d{4})-\\d\\d$',
    '\\^\\$\\\\',
    '^[\\]\\-^]$',
    '^(?:)$',
    'a??b*?',
    '^(()|a)+$',
  ],
  ...['^[^\\d\\s]$', '^[\\b]$', '^\\/$', '^[a\\-z]$', '^a.c$'],
];
const texts = fc.string({
  unit: fc.constantFrom(...'aabbcd 019-_^$\\/]AZé\n\b\u0001\0🐲\u2028'),
  maxLength: 6,
});

describe('a pattern', () => {
  it.each(patterns)('%j holds what the engine of JavaScript finds it in, and nothing else', (pattern) => {
    const expected = new RegExp(pattern, 'u');
    const languages = new Languages(new Work());
    const language = patternLanguage(languages, pattern, 'test');
    fc.assert(
      fc.property(texts, (value) => {
        expect(languages.has(language, value), JSON.stringify(value)).toBe(expected.test(value));
      }),
      { numRuns: 300 },
    );
  });

  it.each(patterns.filter((pattern) => pattern !== '[]'))('%j becomes a grammar of such texts', (pattern) => {
    const grammar = jsonSchemaGrammar({ type: 'string', pattern });
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
        const written = sentence(grammar, (below) => (numbers.next().value as number) % below);
        expect(JSON.parse(written)).toMatch(new RegExp(pattern, 'u'));
      }),
      { numRuns: 50 },
    );
  });

  it('may escape punctuation that needs no escape', () => {
    const languages = new Languages(new Work());
    const language = patternLanguage(languages, '^\\@\\-\\"$', 'test');
    expect(languages.has(language, '@-"')).toBe(true);
  });

  it.each([
    '(',
    ')',
    'a)',
    '[a',
    'a{2',
    '{',
    '*',
    '+a',
    'a**',
    'a{3,2}',
    '\\',
    '\\a',
    '\\u12',
    '\\xg0',
    '\\u{110000}',
  ])('%j is none', (pattern) => {
    expect(() => jsonSchemaGrammar({ pattern })).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', fields: { field: 'schema/pattern' } }),
    );
  });

  it.each(['(?:a|*)', '[z-a]', '[\\d-z]', '\\p{Nope}', '\\pL', '\\uD83D', '(?<1>', '^*', '\\c1'])(
    '%j is none',
    (pattern) => {
      expect(() => jsonSchemaGrammar({ pattern })).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST' }),
      );
    },
  );

  it.each([
    '(?=a)',
    '(?!a)',
    '(?<=a)',
    '(?<!a)',
    '(a)\\1',
    '\\k<x>',
    '\\bword',
    '\\B',
    '(?i:a)',
    'a^b',
    'a$b',
    '(a$)b',
  ])('%j is refused by name', (pattern) => {
    expect(() => jsonSchemaGrammar({ pattern })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD', fields: { field: 'schema/pattern' } }),
    );
  });
});
