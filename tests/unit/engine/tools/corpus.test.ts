import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AnswerForm } from '../../../../ts/engine/text/tools/parser.js';
import { corpus, type Sample, tokenCorpus } from './corpus.js';
import { byChar, type Cut, form, pieces, type Read, read, whole } from './readers.js';

const isMarker = (name: string) => /^(\[|<[|｜])/.test(name);
const formOf = (sample: Sample, changes: Partial<AnswerForm> = {}) =>
  form(sample.format, { isToken: isMarker, ...changes });

const expected = (sample: Sample) => ({
  text: sample.text ?? '',
  reasoning: sample.reasoning ?? '',
  calls: (sample.calls ?? []).map(([name, args]) => ({ name, arguments: args })),
});

const rawOf = (answer: string) =>
  pieces(answer)
    .map((piece) => piece.text)
    .join('');

/** Cuts in lengths that repeat. */
const cutBy =
  (lengths: readonly number[]): Cut =>
  (text) => {
    const chars = Array.from(text);
    const parts: string[] = [];
    for (let i = 0; chars.length > 0; i++)
      parts.push(chars.splice(0, lengths[i % lengths.length] ?? 1).join(''));
    return parts;
  };

const said = ({ text, reasoning, calls }: Read) => ({ text, reasoning, calls });

describe.each(corpus.map((sample) => [sample.format, sample.answer, sample] as const))(
  'an answer of %s, %j',
  (_format, answer, sample) => {
    it('is read the same whole, char by char and in any pieces', () => {
      expect(said(read(answer, formOf(sample), whole))).toEqual(expected(sample));
      expect(said(read(answer, formOf(sample), byChar))).toEqual(expected(sample));
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }), (lengths) => {
          expect(said(read(answer, formOf(sample), cutBy(lengths)))).toEqual(expected(sample));
        }),
        { numRuns: 20 },
      );
    });

    it('keeps the raw answer whole', () => {
      expect(read(answer, formOf(sample)).raw).toBe(rawOf(answer));
    });

    it('cut at any point gives the beginning of what it would have given, and no markup', () => {
      const all = expected(sample);
      const length = pieces(answer).reduce(
        (sum, piece) => sum + (piece.marker ? 1 : Array.from(piece.text).length),
        0,
      );
      for (let tokens = 0; tokens < length; tokens++) {
        const part = read(answer, formOf(sample), byChar, { tokens });
        expect(all.text.startsWith(part.text)).toBe(true);
        expect(all.reasoning.startsWith(part.reasoning)).toBe(true);
        expect(part.calls.length).toBeLessThanOrEqual(all.calls.length);
        for (const [i, call] of part.calls.entries()) {
          expect(call.name).toBe(all.calls[i]?.name);
          expect(all.calls[i]?.arguments.startsWith(call.arguments)).toBe(true);
          if (i < part.calls.length - 1) expect(call.arguments).toBe(all.calls[i]?.arguments);
        }
      }
    });
  },
);

describe.each(tokenCorpus.map((sample) => [sample.answer, sample] as const))(
  'with tags as tokens of the vocabulary, %j',
  (answer, sample) => {
    it('is read by these, not by the same characters', () => {
      const isToken = (name: string) => isMarker(name) || name.includes('tool_call');
      for (const cut of [whole, byChar, cutBy([3, 1, 7])]) {
        expect(said(read(answer, formOf(sample, { isToken }), cut))).toEqual(expected(sample));
      }
      const asText = rawOf(answer);
      expect(said(read(asText, formOf(sample, { isToken })))).toEqual({
        text: asText,
        reasoning: '',
        calls: [],
      });
    });
  },
);

describe('an answer', () => {
  const call = '<tool_call>{"name": "add", "arguments": {"a": "STOP"}}</tool_call>';

  it('is ended by a stop text in what is said, not in thoughts and arguments', () => {
    const answer = `<think>STOP</think>Go.${call}Then STOP it`;
    expect(read(answer, form('hermes'), byChar, { stops: ['STOP'] })).toEqual({
      text: 'Go.Then ',
      reasoning: 'STOP',
      calls: [{ name: 'add', arguments: '{"a": "STOP"}' }],
      stopText: 'STOP',
      raw: `<think>STOP</think>Go.${call}Then `,
    });
  });

  it('is not ended by a stop text of which a call stands in the middle', () => {
    const { text, stopText } = read(`ST${call}OP`, form('hermes'), byChar, { stops: ['STOP'] });
    expect({ text, stopText }).toEqual({ text: 'STOP', stopText: undefined });
  });

  it('ends with its first call where only one is wanted', () => {
    for (const cut of [whole, byChar]) {
      const { calls, text, raw } = read(`Go.${call}\n${call}more`, form('hermes', { parallel: false }), cut);
      expect(calls).toHaveLength(1);
      expect(text).toBe('Go.');
      expect(raw).toBe(`Go.${call}`);
    }
  });

  it('is text where calls are not looked for', () => {
    expect(read(`Go.${call}`, form(undefined)).text).toBe(`Go.${call}`);
    expect(read(`Go.${call}`, form(undefined, { thoughts: undefined })).text).toBe(`Go.${call}`);
  });

  it('begins with thoughts where the prompt has opened them', () => {
    expect(read('hm\n</think>\n\nYes', form(undefined, { thinking: true }))).toMatchObject({
      reasoning: 'hm',
      text: 'Yes',
    });
    expect(read('hm', form(undefined, { thinking: true }))).toMatchObject({ reasoning: 'hm', text: '' });
  });

  it('has thoughts only at its beginning', () => {
    expect(read('Yes <think>no</think>', form('hermes')).text).toBe('Yes <think>no</think>');
  });
});

describe('any arguments', () => {
  const argument = fc.dictionary(
    fc.string({ unit: 'binary' }),
    fc.jsonValue({ maxDepth: 3, noUnicodeString: false }),
    { maxKeys: 4 },
  );
  const writers: [Sample['format'], (args: string) => string][] = [
    ['hermes', (args) => `<tool_call>\n{"name": "add", "arguments": ${args}}\n</tool_call>`],
    ['llama', (args) => `{"name": "add", "parameters": ${args}}`],
    ['gemma', (args) => `\`\`\`json\n{"name": "add", "parameters": ${args}}\n\`\`\``],
    ['mistral', (args) => `⟦[TOOL_CALLS]⟧ [{"name": "add", "arguments": ${args}}]`],
    ['mistral', (args) => `⟦[TOOL_CALLS]⟧add⟦[ARGS]⟧${args}`],
    ['harmony', (args) => `⟦<|channel|>⟧commentary to=functions.add json⟦<|message|>⟧${args}`],
    [
      'deepseek',
      (args) =>
        `⟦<｜tool▁calls▁begin｜>⟧⟦<｜tool▁call▁begin｜>⟧add⟦<｜tool▁sep｜>⟧${args}⟦<｜tool▁call▁end｜>⟧`,
    ],
    [
      'kimi',
      (args) =>
        `⟦<|tool_call_begin|>⟧functions.add:0⟦<|tool_call_argument_begin|>⟧${args}⟦<|tool_call_end|>⟧`,
    ],
  ];

  it.each(writers)('come out of %s as they went in', (format, write) => {
    fc.assert(
      fc.property(argument, fc.boolean(), fc.integer({ min: 1, max: 9 }), (value, indented, length) => {
        const args = JSON.stringify(value, null, indented ? 2 : 0).replaceAll(/[⟦⟧]/g, '?');
        const answer = write(args);
        const { calls, text } = read(answer, form(format, { isToken: isMarker }), cutBy([length, 1]));
        expect(calls).toEqual([{ name: 'add', arguments: args }]);
        expect(text).toBe('');
      }),
      { numRuns: 150 },
    );
  });

  // A text that holds what ends a value, in its order, cannot be told from its end.
  const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll(/[⟦⟧<]/g, '?'));
  const values: Record<string, fc.Arbitrary<unknown>> = {
    text,
    number: fc.double({ noNaN: true, noDefaultInfinity: true }),
    list: fc.array(text),
    object: fc.dictionary(text, text),
    maybe: fc.option(text.filter((value) => !/^\s*(null|None)\s*$/.test(value))),
  };
  const types = {
    text: 'string',
    number: 'number',
    list: 'array',
    object: 'object',
    maybe: ['string', 'null'],
  };
  const properties = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type }]));
  const written = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const taggedWriters: [Sample['format'], (key: string, value: string) => string, string, string][] = [
    [
      'qwen-coder',
      (key, value) => `<parameter=${key}>\n${value}\n</parameter>\n`,
      '<tool_call>\n<function=add>\n',
      '</function>\n</tool_call>',
    ],
    [
      'glm',
      (key, value) => `<arg_key>${key}</arg_key>\n<arg_value>${value}</arg_value>\n`,
      '<tool_call>add\n',
      '</tool_call>',
    ],
  ];

  it.each(taggedWriters)('come out of %s as their schema has them', (format, write, before, after) => {
    const how = form(format, { parameters: new Map([['add', { properties }]]) });
    fc.assert(
      fc.property(fc.record(values, { requiredKeys: [] }), fc.integer({ min: 1, max: 9 }), (args, length) => {
        const parts = Object.entries(args).map(([key, value]) => write(key, written(value)));
        const { calls, text: said } = read(before + parts.join('') + after, how, cutBy([length, 1]));
        expect(calls.map((call) => ({ ...call, arguments: JSON.parse(call.arguments) }))).toEqual([
          { name: 'add', arguments: JSON.parse(JSON.stringify(args)) },
        ]);
        expect(said).toBe('');
      }),
      { numRuns: 150 },
    );
  });
});
