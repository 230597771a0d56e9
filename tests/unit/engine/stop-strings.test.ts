import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopStrings } from '../../../ts/engine/text/stop-strings.js';

/** What a matcher lets through of a stream cut into these pieces. */
function run(
  stops: readonly string[],
  pieces: readonly string[],
): { text: string; stop: string | undefined } {
  const matcher = new StopStrings(stops);
  let text = '';
  for (const piece of pieces) {
    const found = matcher.push(piece);
    text += found.text;
    if (found.stop !== undefined) return { text, stop: found.stop };
  }
  return { text: text + matcher.end(), stop: undefined };
}

/** The same by looking at the whole text: the stop that ends first, of those the longest. */
function expected(stops: readonly string[], text: string): { text: string; stop: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const [stop] = ending.sort((a, b) => b.length - a.length);
    if (stop !== undefined) return { text: text.slice(0, end - stop.length), stop };
  }
  return { text, stop: undefined };
}

const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '\n'), maxLength: 40 });
const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '\n'), minLength: 1, maxLength: 6 });

describe('StopStrings', () => {
  it('finds the same stop however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(stop, { maxLength: 4 }), fc.array(letters, { maxLength: 12 }), (stops, pieces) => {
        expect(run(stops, pieces)).toEqual(expected(stops, pieces.join('')));
      }),
      { numRuns: 2000 },
    );
  });

  it('finds the same stop one UTF-16 unit at a time', () => {
    fc.assert(
      fc.property(fc.array(stop, { maxLength: 4 }), letters, (stops, text) => {
        expect(run(stops, text.split(''))).toEqual(expected(stops, text));
      }),
    );
  });

  it('never shows what may become a stop', () => {
    const matcher = new StopStrings(['<|end|>']);
    expect(matcher.push('text <|en')).toEqual({ text: 'text ' });
    expect(matcher.push('t')).toEqual({ text: '<|ent' });
    expect(matcher.push('<|end|')).toEqual({ text: '' });
    expect(matcher.push('>more')).toEqual({ text: '', stop: '<|end|>' });
  });

  it('gives back at the end what was held for nothing', () => {
    const matcher = new StopStrings(['abc']);
    expect(matcher.push('xab').text).toBe('x');
    expect(matcher.end()).toBe('ab');
  });

  it('shows all at once when there are no stops', () => {
    expect(new StopStrings([]).push('anything')).toEqual({ text: 'anything' });
  });

  it('takes the same time however often a long stop almost matches', () => {
    const matcher = new StopStrings([`${'a'.repeat(1000)}b`]);
    const started = performance.now();
    let shown = 0;
    for (let i = 0; i < 20_000; i++) shown += matcher.push('aaaaaaaaaa').text.length;
    expect(shown).toBe(200_000 - 1000);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
