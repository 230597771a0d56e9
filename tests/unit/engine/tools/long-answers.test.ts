import { describe, expect, it } from 'vitest';
import { AnswerParser } from '../../../../ts/engine/text/tools/parser.js';
import type { ToolFormat } from '../../../../ts/engine/types.js';
import { form } from './readers.js';

const coder = '<tool_call>\n<function=note>\n<parameter=text>\n';
const glm = '<tool_call>note<arg_key>text</arg_key><arg_value>';
const thoughts = {
  open: { text: '<think>', token: false },
  close: { text: '</think>', token: false },
};

/** Reads `begin`, and `piece` as often as said. */
function read(calls: ToolFormat, begin: string, piece: string, times: number, thinking = false) {
  const parser = new AnswerParser({
    ...form(calls),
    isToken: () => false,
    parameters: new Map([['note', { properties: { text: { type: 'string' } } }]]),
    ...(thinking ? { thoughts, thinking } : {}),
  });
  const events = parser.text(begin);
  for (let i = 0; i < times; i++) events.push(...parser.text(piece));
  events.push(...parser.end('stop'));
  return events.map((event) => ('text' in event ? event.text : '')).join('');
}

describe('an answer that goes on and on', () => {
  it.each<[string, ToolFormat, string, string, boolean?]>([
    ['closes a text again and again', 'qwen-coder', coder, '</parameter> x'],
    ['closes a value again and again', 'glm', glm, '</arg_value> x'],
    ['writes line breaks', 'hermes', '', '\n\n\n\n'],
    ['writes line breaks in its thoughts', 'hermes', 'Hm', '\n\n\n\n', true],
  ])(
    'and %s costs no more at its end than at its beginning',
    (_, format, begin, piece, thinking) => {
      const began = performance.now();
      const text = read(format, begin, piece, 60_000, thinking);
      expect(performance.now() - began).toBeLessThan(5000);
      if (piece.includes('x')) expect(text).toContain(piece.repeat(60_000));
    },
    200_000,
  );
});
