import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TextTokenizer } from '../../../ts/engine/text/tokenizer.js';
import { Transcript } from '../../../ts/engine/text/transcript.js';
import type { ChatMessage } from '../../../ts/engine/types.js';
import { gpt2Parts, textTokenizer } from './vocabularies.js';

let tokenizer: TextTokenizer;

beforeAll(async () => {
  tokenizer = await textTokenizer(gpt2Parts({ bosIds: [0] }));
});

const user: ChatMessage = { role: 'user', content: 'hi' };
const a = () => tokenizer.encode('a');
const bc = () => tokenizer.encode('bc');

/** A turn whose answer is `abc`, spelled `a` + `bc`, which is not how it would be encoded. */
async function spelledTurn(prompt = '<s>user hi</s>'): Promise<Transcript> {
  const first = await Transcript.empty.extend(prompt, tokenizer);
  return Transcript.after([user], first, { text: 'abc', tokens: [...a(), ...bc()], whole: true });
}

describe('Transcript', () => {
  it('goes on with the tokens of an answer, though encoding it again would give others', async () => {
    const before = await spelledTurn();
    expect(tokenizer.encode('abc')).not.toEqual([...a(), ...bc()]);
    const next = await before.extend('<s>user hi</s>abc</s>more', tokenizer);
    expect(next.tokens.slice(0, before.tokens.length)).toEqual(before.tokens);
    expect(next.keptTokens).toBe(before.tokens.length);
    expect(tokenizer.decode(next.tokens)).toBe('<s>user hi</s>abc</s>more');
  });

  it('encodes anew from the last marker before text follows the answer directly', async () => {
    const before = await spelledTurn();
    const text = '<s>user hi</s>abcabc';
    const next = await before.extend(text, tokenizer);
    expect(next.tokens).toEqual(tokenizer.encode(text));
    expect(next.keptTokens).toBe(tokenizer.encode('<s>user hi').length);
  });

  it('takes what is common up to a marker when the answer is quoted in another way', async () => {
    const before = await spelledTurn();
    const text = '<s>user hi</s>abX</s>more';
    const next = await before.extend(text, tokenizer);
    expect(next.tokens).toEqual(tokenizer.encode(text));
    expect(next.keptTokens).toBeGreaterThan(0);
  });

  it('keeps the spelling of earlier answers over many turns', async () => {
    let transcript = await spelledTurn();
    let text = '<s>user hi</s>abc';
    for (let turn = 0; turn < 5; turn++) {
      text += `</s>more ${turn}<s>`;
      const prompt = await transcript.extend(text, tokenizer);
      expect(prompt.tokens.slice(0, transcript.tokens.length)).toEqual(transcript.tokens);
      transcript = Transcript.after([user], prompt, { text: 'abc', tokens: [...a(), ...bc()], whole: true });
      text += 'abc';
    }
    expect(tokenizer.decode(transcript.tokens)).toBe(text);
  });

  it('gives tokens that decode to the prompt, whatever was kept', async () => {
    const piece = fc.constantFrom('<s>', '</s>', 'abc', 'a', 'bc', ' hi', 'é', '\n');
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
    await fc.assert(
      fc.asyncProperty(text, text, text, async (prompt, answer, follow) => {
        const first = await Transcript.empty.extend(prompt, tokenizer);
        const spelled = [...Buffer.from(answer)].flatMap((byte) =>
          tokenizer.encode(String.fromCharCode(byte)),
        );
        const ascii = [...answer].every((char) => char < '\x7f');
        const tokens = ascii ? spelled : tokenizer.encode(answer);
        const before = Transcript.after([user], first, { text: answer, tokens, whole: true });
        for (const whole of [prompt + answer + follow, prompt + follow, follow]) {
          const next = await before.extend(whole, tokenizer);
          expect(tokenizer.decode(next.tokens)).toBe(whole);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('puts the begin marker before raw text, and keeps raw and rendered text apart', async () => {
    const raw = await Transcript.empty.extend('x<s>y', tokenizer, { bos: true });
    expect(raw.tokens[0]).toBe(0);
    const before = Transcript.after([], raw, { text: 'z', tokens: tokenizer.encode('z'), whole: true });
    const goesOn = await before.extend('x<s>yz<s>more', tokenizer, { bos: true });
    expect(goesOn.tokens).toEqual([0, ...tokenizer.encode('x<s>yz<s>more')]);
    expect(goesOn.keptTokens).toBe(before.tokens.length);
    const rendered = await before.extend('x<s>yz<s>more', tokenizer);
    expect(rendered).toMatchObject({ keptTokens: 0, tokens: tokenizer.encode('x<s>yz<s>more') });
  });

  it('is the same after a restart', async () => {
    const before = await spelledTurn();
    const after = Transcript.fromJson(before.toJson(), tokenizer.vocabSize);
    expect(after).toEqual(before);
    const text = '<s>user hi</s>abc</s>';
    expect(await after.extend(text, tokenizer)).toEqual(await before.extend(text, tokenizer));
  });

  it('is read as earlier versions wrote it, without what they did not know', async () => {
    const { answers: _, ...known } = JSON.parse((await spelledTurn()).toJson()) as Record<string, unknown>;
    for (const version of [1, 2]) {
      const read = Transcript.fromJson(JSON.stringify({ ...known, version }), tokenizer.vocabSize);
      expect(read.view()).toEqual((await spelledTurn()).view());
      expect(read.answers).toEqual([]);
    }
  });

  it('is nothing on disk before the first turn', () => {
    expect(Transcript.empty.toJson()).toBe('');
    expect(Transcript.fromJson('', 10)).toBe(Transcript.empty);
  });

  it('refuses what it did not write', async () => {
    const good = JSON.parse((await spelledTurn()).toJson()) as Record<string, unknown>;
    const bad: [string, unknown][] = [
      ['version', 4],
      ['answers', undefined],
      ['answers', [null]],
      ['answers', [{ messages: 2, chars: 1, rendered: { chars: 1.5, hash: '' } }]],
      ['answers', [{ messages: 2, chars: 1, rendered: null }]],
      ['answers', [{ messages: 2, chars: 1e5, rendered: { chars: 1, hash: '' } }]],
      ['answers', [{ messages: 1, chars: 1, rendered: { chars: 1, hash: '' } }]],
      ['text', 7],
      ['bos', undefined],
      ['messages', [{ role: 'robot', content: 'x' }]],
      ['messages', 'x'],
      ['tokens', [1, 2.5]],
      ['tokens', [1e9]],
      ['tokens', { length: 1e9 }],
      ['seams', [5, 1, 3, 2]],
      ['seams', [5]],
      ['seams', [1e5, 1]],
    ];
    for (const [field, value] of bad) {
      const json = JSON.stringify({ ...good, [field]: value });
      expect(() => Transcript.fromJson(json, tokenizer.vocabSize), field).toThrow(
        expect.objectContaining({ code: 'CACHE_CORRUPT' }),
      );
    }
    for (const json of ['{', 'null', '[]', '"x"']) {
      expect(() => Transcript.fromJson(json, 10)).toThrow(expect.objectContaining({ code: 'CACHE_CORRUPT' }));
    }
  });

  it('is not kept when it grows out of all bounds', async () => {
    const text = 'x'.repeat(40_000_000);
    const prompt = { text, tokens: [5], seams: [], bos: false, keptTokens: 0 };
    expect(Transcript.after([], prompt, { text: '', tokens: [], whole: true }).toJson()).toBe('');
  });

  it('hands out copies', async () => {
    const transcript = await spelledTurn();
    const view = transcript.view();
    view.messages[0] = { role: 'user', content: 'changed' };
    view.tokens.length = 0;
    expect(transcript.view()).toMatchObject({ messages: [user], text: '<s>user hi</s>abc' });
    expect(transcript.view().tokens).toEqual([...transcript.tokens]);
  });
});
