import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkChatOptions } from '../../../../ts/engine/chat-options.js';
import { Forms } from '../../../../ts/engine/forms.js';
import type { Grammar } from '../../../../ts/engine/grammar/ir.js';
import { answerGrammar } from '../../../../ts/engine/text/tools/answer-grammar.js';
import { deepseekMarks, kimiMarks } from '../../../../ts/engine/text/tools/marked.js';
import type { AnswerForm } from '../../../../ts/engine/text/tools/parser.js';
import type { ChatOptions, ToolFormat } from '../../../../ts/engine/types.js';
import { accepts } from '../grammar/acceptor.js';
import { sentence } from '../grammar/sentences.js';
import { form, read, whole } from './readers.js';
import { Vocabulary } from './vocabulary.js';

const harmonyMarkers = ['<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|constrain|>'];

const argumentMarkers = ['<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>'];
const deepseekMarkers = Object.values(deepseekMarks).flat();

const families: [name: string, format: ToolFormat, markers: readonly string[], special: boolean][] = [
  ['hermes in text', 'hermes', [], true],
  ['hermes in special tokens', 'hermes', ['<tool_call>', '</tool_call>', '<think>', '</think>'], true],
  ['hermes in added tokens', 'hermes', ['<tool_call>', '</tool_call>', '<think>', '</think>'], false],
  ['llama', 'llama', ['<|python_tag|>'], true],
  ['gemma', 'gemma', [], true],
  ['mistral with lists', 'mistral', ['[TOOL_CALLS]'], true],
  ['mistral with marks', 'mistral', ['[TOOL_CALLS]', '[ARGS]'], true],
  ['harmony', 'harmony', harmonyMarkers, true],
  ['qwen-coder in text', 'qwen-coder', [], true],
  ['qwen-coder with tags in tokens', 'qwen-coder', ['<tool_call>', '</tool_call>'], false],
  ['glm in text', 'glm', [], true],
  ['glm in tokens', 'glm', ['<tool_call>', '</tool_call>', ...argumentMarkers], true],
  ['deepseek', 'deepseek', deepseekMarkers, true],
  ['deepseek with fences', 'deepseek-r1', deepseekMarkers, true],
  ['kimi', 'kimi', Object.values(kimiMarks).flat(), true],
];

const numbers = {
  type: 'object',
  properties: { a: { type: 'integer' } },
  required: ['a'],
  additionalProperties: false,
};

const tools = [
  { name: 'add', parameters: numbers, strict: true },
  { name: 'note', parameters: numbers, strict: true },
];

function setup(
  format: ToolFormat,
  markers: readonly string[],
  special: boolean,
  changes: Partial<AnswerForm> = {},
) {
  const vocabulary = new Vocabulary(markers, special);
  const isToken = (marker: string) => vocabulary.hasAdded(marker);
  const parameters = new Map(tools.map((tool) => [tool.name, tool.parameters]));
  const answerForm = form(format, { isToken, parameters, ...changes });
  const grammar = (options: ChatOptions) =>
    vocabulary.spelled(answerGrammar({ ...checkChatOptions(options), form: answerForm }, vocabulary));
  return { answerForm, grammar };
}

/** Checks what is read of random answers that a grammar allows. */
function always(grammar: Grammar, check: (answer: string) => void): void {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
      const pick = (below: number) => (numbers.next().value as number) % below;
      check(sentence(grammar, pick));
    }),
    { numRuns: 150 },
  );
}

const validCall = {
  name: expect.stringMatching(/^(add|note)$/),
  arguments: expect.stringMatching(/^\{\s*"a": ?-?\d+\s*\}$/),
};

describe.each(families)('a form of %s', (_name, format, markers, special) => {
  it('that forces calls is read as these and nothing else', () => {
    const { answerForm, grammar } = setup(format, markers, special);
    always(grammar({ tools, toolChoice: 'required' }), (answer) => {
      const { calls, text } = read(answer, answerForm, whole);
      if (format !== 'harmony') expect(text).toBe('');
      expect(calls.length).toBeGreaterThan(0);
      for (const call of calls) expect(call).toEqual(validCall);
    });
  });

  it('that forces one tool has one call of it where only one is wanted', () => {
    const { answerForm, grammar } = setup(format, markers, special, { parallel: false });
    always(grammar({ tools, toolChoice: { name: 'note' }, parallelToolCalls: false }), (answer) => {
      const everything = read(answer, { ...answerForm, parallel: true }, whole);
      expect(everything.calls).toEqual([{ ...validCall, name: 'note' }]);
    });
  });

  it('that leaves the choice to the model has no call that its schema does not allow', () => {
    const { answerForm, grammar } = setup(format, markers, special);
    let calls = 0;
    always(grammar({ tools }), (answer) => {
      const result = read(answer, answerForm, whole);
      for (const call of result.calls) expect(call).toEqual(validCall);
      calls += result.calls.length;
    });
    // Chance hardly spells a tag.
    if (markers.length > 0 || format === 'llama' || format === 'gemma') expect(calls).toBeGreaterThan(0);
  });

  it('of the whole answer is JSON, or a call where there are tools', () => {
    const { answerForm, grammar } = setup(format, markers, special);
    const options: ChatOptions = { responseFormat: { type: 'json_schema', schema: numbers } };
    always(grammar(options), (answer) => {
      expect(
        JSON.parse(read(answer, { ...answerForm, calls: undefined }, whole).text.replace(/^.*(?=\{)/s, '')),
      ).toEqual({
        a: expect.any(Number),
      });
    });
    always(grammar({ ...options, tools }), (answer) => {
      const { calls, text } = read(answer, answerForm, whole);
      if (calls.length === 0) expect(text).toMatch(/"a"/);
    });
  });
});

/** Calls as JSON in the frame that each family puts around it. */
const frames: readonly [name: string, format: ToolFormat, key: string, frame: (call: string) => string][] = [
  ['hermes', 'hermes', 'arguments', (call) => `<tool_call>\n${call}\n</tool_call>`],
  ['llama', 'llama', 'parameters', (call) => call],
  ['gemma', 'gemma', 'parameters', (call) => call],
  ['mistral', 'mistral', 'arguments', (call) => `[TOOL_CALLS][${call}]`],
];

describe.each(frames)('a call of %s', (_name, format, key, frame) => {
  const { answerForm, grammar } = setup(format, [], true);
  const call = { name: 'add', [key]: { a: 1 } };

  it.each([
    ['compactly', JSON.stringify(call)],
    ['in one line', `{"name": "add", "${key}": {"a": 1}}`],
    ['in one line with space inside of braces', `{ "name": "add", "${key}": { "a": 1 } }`],
    ['indented', JSON.stringify(call, null, 2)],
    ['with tabs', JSON.stringify(call, null, '\t')],
  ])('may be written %s, forced or free', (_how, written) => {
    const answer = frame(written);
    for (const toolChoice of ['required', 'auto'] as const) {
      expect(accepts(grammar({ tools, toolChoice }), answer)).toBe(true);
    }
    const { calls, text } = read(answer, answerForm, whole);
    expect(calls.map((each) => ({ ...each, arguments: JSON.parse(each.arguments) }))).toEqual([
      { name: 'add', arguments: { a: 1 } },
    ]);
    expect(text).toBe('');
  });

  it('has no white space without end', () => {
    const forced = grammar({ tools, toolChoice: 'required' });
    const blank = ' '.repeat(41);
    for (const written of [
      `{\n${blank}"name":"add","${key}":{"a":1}}`,
      `{"name":  "add","${key}":{"a":1}}`,
      `{"name":"add",\n${blank}"${key}":{"a":1}}`,
      `{"name":"add","${key}":{"a":1}\n${blank}}`,
    ]) {
      expect(accepts(forced, frame(written)), written).toBe(false);
    }
  });
});

describe('a form', () => {
  const { grammar } = setup('hermes', [], true);
  const call = (args: string) => `<tool_call>\n{"name": "add", "arguments": ${args}}\n</tool_call>`;

  it('takes what a model would write, text around calls included', () => {
    const free = grammar({ tools });
    for (const answer of [
      '',
      'Just text.',
      'a < b <tool',
      `So.\n${call('{"a": 1}')}`,
      `${call('{"a": 1}')}\nThen ${call('{"a": 2}')}.`,
    ]) {
      expect(accepts(free, answer), answer).toBe(true);
    }
    for (const answer of [
      call('{"a": "x"}'),
      `x${call('{}')}`,
      '<tool_call>',
      `${call('{"a": 1}')}<tool_call>x`,
    ]) {
      expect(accepts(free, answer), answer).toBe(false);
    }
  });

  it('leaves room for thoughts, unless these are turned off', () => {
    const forced: ChatOptions = { tools, toolChoice: 'required' };
    const thought = `<think>\nHm </thin <tool_call> </think>\n\n${call('{"a": 1}')}`;
    expect(accepts(grammar(forced), thought)).toBe(true);
    expect(accepts(grammar({ ...forced, reasoning: { enabled: false } }), thought)).toBe(false);
    const begun = setup('hermes', [], true, { thinking: true });
    expect(accepts(begun.grammar(forced), thought.slice(8))).toBe(true);
    expect(accepts(begun.grammar(forced), call('{"a": 1}'))).toBe(false);
  });

  it('does without a schema that cannot be enforced, unless the tool asks for it', () => {
    const parameters = { type: 'object', unevaluatedProperties: false };
    const forced = (strict: boolean): ChatOptions => ({
      tools: [{ name: 'add', parameters, strict }],
      toolChoice: 'required',
    });
    expect(accepts(grammar(forced(false)), call('{"x": [1]}'))).toBe(true);
    expect(() => grammar(forced(true))).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_FIELD' }));
  });

  it('refuses a schema that is none, whether the tool asks to be held to it or not', () => {
    const parameters = { type: 'object', properties: { a: { type: 'int' } } };
    for (const strict of [true, false]) {
      const forced = {
        tools: [...tools, { name: 'odd', parameters, strict }],
        toolChoice: 'required' as const,
      };
      expect(() => grammar(forced)).toThrow(
        expect.objectContaining({
          code: 'INVALID_REQUEST',
          fields: expect.objectContaining({ field: 'tools.odd.parameters/properties/a/type' }),
        }),
      );
    }
  });

  it('does without a schema that is too large, and does not try for ever', () => {
    const hard = ['a.*b', 'c.*d', '.*e.*', 'f?g', 'h.*i.*j', 'k*l'];
    const wide = Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`p${i}`, { maxLength: i + 1 }]));
    const tooLarge = [
      { type: 'object', patternProperties: Object.fromEntries(hard.map((pattern) => [pattern, {}])) },
      { type: 'object', properties: wide },
    ];
    const begun = performance.now();
    for (const parameters of tooLarge) {
      const others = Array.from({ length: 100 }, (_, i) => ({ name: `other${i}`, parameters }));
      const forced = grammar({ tools: [...tools, ...others], toolChoice: 'required' });
      expect(accepts(forced, call('{"a": 1}'))).toBe(true);
      expect(accepts(forced, call('{"a": "x"}'))).toBe(false);
      expect(accepts(forced, call('{"x": [1]}').replace('add', 'other99'))).toBe(true);
    }
    expect(performance.now() - begun).toBeLessThan(15_000);
  });

  it('is made once for the same request, and not at all where none is asked for', async () => {
    const forms = new Forms(new Vocabulary([], true));
    const asked = checkChatOptions({ tools, toolChoice: 'required' });
    const me = { client: 'me' };
    const grammar = (options: ChatOptions) => forms.grammar(checkChatOptions(options), form('hermes'), me);
    const first = await forms.grammar(asked, form('hermes'), me);
    expect(await forms.grammar(structuredClone(asked), form('hermes'), me)).toBe(first);
    expect(JSON.parse(first)).toHaveProperty('rules.root');
    expect(await grammar({ tools: [{ name: 'add' }] })).toBe('');
    expect(await grammar({ tools, toolChoice: 'none' })).toBe('');
  });
});

describe('a form of arguments in tags', () => {
  const { grammar } = setup('qwen-coder', [], true);
  const parameters = {
    type: 'object',
    properties: {
      path: { type: 'string', description: 'Where.' },
      mode: { enum: ['read', 'write'] },
      lines: { $ref: '#/$defs/lines' },
      other: {},
    },
    required: ['path', 'mode'],
    $defs: { lines: { type: 'array', items: { $ref: '#/$defs/line' } }, line: { type: 'integer' } },
  };
  const forced = (schema: object, strict = true): ChatOptions => ({
    tools: [{ name: 'add', parameters: schema as Record<string, unknown>, strict }],
    toolChoice: 'required',
  });
  const call = (...args: [name: string, value: string][]) =>
    `<tool_call>\n<function=add>\n${args.map(([name, value]) => `<parameter=${name}>\n${value}\n</parameter>\n`).join('')}</function>\n</tool_call>`;

  it('holds each argument to its schema, in the order of declaration', () => {
    const form = grammar(forced(parameters));
    const path: [string, string] = ['path', 'a "b" </param>\n<c'];
    const mode: [string, string] = ['mode', 'read'];
    for (const answer of [
      call(path, mode),
      call(path, mode, ['lines', '[1, 2]']),
      call(path, mode, ['other', 'any words']),
      `${call(path, mode)}\n${call(path, ['mode', 'write'])}`,
    ]) {
      expect(accepts(form, answer), answer).toBe(true);
    }
    for (const answer of [
      call(path),
      call(mode, path),
      call(path, ['mode', '"read"']),
      call(path, ['mode', 'both']),
      call(path, mode, ['lines', '["x"]']),
      call(path, mode, ['unknown', '1']),
    ]) {
      expect(accepts(form, answer), answer).toBe(false);
    }
  });

  it.each([
    ['a pattern of a text', { properties: { a: { type: 'string', pattern: '^x$' } } }],
    ['a length of a text', { properties: { a: { type: 'string', maxLength: 3 } } }],
    ['a text or an object', { properties: { a: { type: ['string', 'object'] } } }],
    ['arguments that depend on each other', { anyOf: [{ required: ['a'] }, { required: ['b'] }] }],
  ])('cannot say %s, and refuses a strict tool that asks for it', (_what, schema) => {
    expect(() => grammar(forced(schema))).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_FIELD' }));
    expect(() => grammar(forced(schema, false))).not.toThrow();
  });

  it('is read as the JSON that the schema accepts', () => {
    const { answerForm } = setup('qwen-coder', [], true, { parameters: new Map([['add', parameters]]) });
    const answer = call(['path', '12'], ['mode', 'read'], ['lines', '[1, 2]'], ['other', '{"a": 1}']);
    expect(read(answer, answerForm).calls.map((one) => JSON.parse(one.arguments))).toEqual([
      { path: '12', mode: 'read', lines: [1, 2], other: { a: 1 } },
    ]);
  });
});
