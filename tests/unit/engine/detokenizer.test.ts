import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnswerReader } from '../../../ts/engine/text/answer-reader.js';
import { Detokenizer, type TokenTable } from '../../../ts/engine/text/detokenizer.js';
import { wholeText } from '../../../ts/engine/text/utf8.js';
import { textOf } from '../../chunks.js';

const marker = 256;

/** Every byte is a token; 256 is a marker. */
const byteTable: TokenTable = {
  bytes: (token) => (token === marker ? Buffer.from('<|m|>') : Uint8Array.of(token)),
  text: (token) => wholeText(byteTable.bytes(token)),
  isSpecial: (token) => token === marker,
};

describe('Detokenizer', () => {
  it('gives back any text, one byte a token, and never a part of a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const detokenizer = new Detokenizer(byteTable);
        const pieces = [...Buffer.from(text)].map((byte) => detokenizer.push(byte));
        expect(pieces.join('')).toBe(Buffer.from(text).toString());
        if (!text.includes('\ufffd')) expect(pieces.join('')).not.toContain('\ufffd');
      }),
    );
  });

  it('gives at every token what a decoder of the whole stream gives', () => {
    // Tokens of any bytes, among them cut, overlong and surrogate ones.
    const byte = fc.oneof(
      fc.constantFrom(
        0x41,
        0x80,
        0xbf,
        0xc0,
        0xc3,
        0xe0,
        0xa0,
        0xed,
        0x9f,
        0xef,
        0xf0,
        0x90,
        0xf4,
        0x8f,
        0xf5,
      ),
      fc.integer({ min: 0, max: 255 }),
    );
    const token = fc.uint8Array({ maxLength: 5 });
    const cut = fc.array(byte, { maxLength: 5 }).map((bytes) => Uint8Array.from(bytes));
    fc.assert(
      fc.property(fc.array(fc.oneof(token, cut)), (pieces) => {
        const bytes = (i: number) => pieces[i] ?? new Uint8Array(0);
        const table = { bytes, text: (i: number) => wholeText(bytes(i)), isSpecial: () => false };
        const detokenizer = new Detokenizer(table);
        const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
        for (const [i, piece] of pieces.entries()) {
          expect(detokenizer.push(i)).toBe(decoder.decode(piece, { stream: true }));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('says nothing of a character that is never completed', () => {
    const detokenizer = new Detokenizer(byteTable);
    expect([0x61, 0xf0, 0x9f, 0x98].map((byte) => detokenizer.push(byte))).toEqual(['a', '', '', '']);
  });

  it('shows bytes that are no character as U+FFFD and goes on', () => {
    const detokenizer = new Detokenizer(byteTable);
    expect([0xff, 0x62].map((byte) => detokenizer.push(byte)).join('')).toBe('\ufffdb');
  });

  it('leaves markers out, or in when asked, and drops a character they cut', () => {
    const without = new Detokenizer(byteTable);
    expect([0x61, 0xc3, marker, 0x62].map((token) => without.push(token)).join('')).toBe('ab');
    const within = new Detokenizer(byteTable, { skipSpecial: false });
    expect([0x61, marker, 0x62].map((token) => within.push(token)).join('')).toBe('a<|m|>b');
  });

  it('keeps a byte order mark, which is text here', () => {
    const detokenizer = new Detokenizer(byteTable);
    expect([...Buffer.from('\ufeffx')].map((byte) => detokenizer.push(byte)).join('')).toBe('\ufeffx');
  });

  it('drops one space at the beginning where the vocabulary asks for it', () => {
    const detokenizer = new Detokenizer(byteTable, { trimFirstSpace: true });
    expect([...Buffer.from('  a b')].map((byte) => detokenizer.push(byte)).join('')).toBe(' a b');
  });
});

/** A reader of an answer that is all text. */
function reader(stops: readonly string[]): AnswerReader {
  const table = {
    ...byteTable,
    addedText: (token: number) => (token === marker ? '<|m|>' : undefined),
  };
  return new AnswerReader({ detokenizer: new Detokenizer(byteTable), table, stops });
}

describe('AnswerReader', () => {
  const answerTo = (text: string, stops: readonly string[]) => {
    const answer = reader(stops);
    const pieces = [...Buffer.from(text)].flatMap((byte) => answer.push(byte));
    return { answer, pieces: [...pieces, ...answer.end('stop')] };
  };

  it('keeps exactly the tokens of the text before the stop', () => {
    const { answer } = answerTo('good é STOP more', [' STOP']);
    expect(answer.text).toBe('good é');
    expect(answer.stopText).toBe(' STOP');
    expect(Buffer.from(answer.tokens()).toString()).toBe('good é');
  });

  it('does not keep half of a character that begins the stop', () => {
    const { answer } = answerTo('aé', ['é']);
    expect(answer.tokens()).toEqual([0x61]);
  });

  it('gives every piece the tokens whose text ends in it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 60 }),
        fc.constantFrom([], ['b'], ['é', 'ab']),
        (text, stops) => {
          const { answer, pieces } = answerTo(text, stops);
          expect(pieces.map(textOf).join('')).toBe(answer.text);
          expect(pieces.flatMap((piece) => piece.tokens)).toEqual(answer.tokens());
          expect(Buffer.from(answer.tokens()).toString()).toBe(answer.text);
        },
      ),
    );
  });

  it('keeps all tokens of an answer that ends inside a character', () => {
    const answer = reader([]);
    const pieces = [...[0x61, 0xc3].flatMap((token) => answer.push(token)), ...answer.end('length')];
    expect(answer.text).toBe('a');
    expect(answer.tokens()).toEqual([0x61, 0xc3]);
    expect(pieces.flatMap((piece) => piece.tokens)).toEqual([0x61, 0xc3]);
  });
});
