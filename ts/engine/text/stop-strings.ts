/**
 * Finds the first of several texts in a stream, wherever the stream is cut into pieces, and lets through
 * only what can no longer be part of one. One user; a matcher serves one stream.
 *
 * Each text has a Knuth-Morris-Pratt automaton (Knuth, Morris, Pratt 1977) that takes one UTF-16 unit at a
 * time, so that a unit costs the same however often a text almost matched.
 */
interface Automaton {
  text: string;
  /** failure[i]: length of the longest proper prefix of text[0..i] that also ends it. */
  failure: Int32Array;
  /** How much of `text` ends the stream so far. */
  matched: number;
}

export class StopStrings {
  readonly #automata: Automaton[];
  /** Let through with the next piece, unless it turns out to be part of a stop text. */
  #held = '';

  /** REQUIRES: no empty texts. */
  constructor(texts: readonly string[]) {
    this.#automata = texts.map((text) => ({ text, failure: failureTable(text), matched: 0 }));
  }

  /**
   * Takes the next piece of the stream.
   * @returns what may be shown now, and the stop text when one is complete. The one that is complete first
   *   wins; of several at once, the longest. REQUIRES: nothing is pushed after that.
   */
  push(piece: string): { text: string; stop?: string } {
    if (this.#automata.length === 0) return { text: piece };
    const stream = this.#held + piece;
    for (let end = this.#held.length; end < stream.length; end++) {
      const stop = this.#advance(stream.charCodeAt(end));
      if (stop !== undefined) {
        this.#held = '';
        return { text: stream.slice(0, end + 1 - stop.length), stop };
      }
    }
    const held = Math.max(...this.#automata.map((automaton) => automaton.matched));
    this.#held = stream.slice(stream.length - held);
    return { text: stream.slice(0, stream.length - held) };
  }

  /** The stream has ended: what was held back after all belongs to it. */
  end(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  #advance(unit: number): string | undefined {
    let complete: string | undefined;
    for (const automaton of this.#automata) {
      advance(automaton, unit);
      const { text, matched } = automaton;
      if (matched === text.length && matched > (complete?.length ?? 0)) complete = text;
    }
    return complete;
  }
}

function advance(automaton: Automaton, unit: number): void {
  const { text, failure } = automaton;
  let matched = automaton.matched;
  while (matched > 0 && text.charCodeAt(matched) !== unit) matched = failure[matched - 1] ?? 0;
  automaton.matched = text.charCodeAt(matched) === unit ? matched + 1 : matched;
}

function failureTable(text: string): Int32Array {
  const failure = new Int32Array(text.length);
  let length = 0;
  for (let i = 1; i < text.length; i++) {
    while (length > 0 && text.charCodeAt(i) !== text.charCodeAt(length)) length = failure[length - 1] ?? 0;
    if (text.charCodeAt(i) === text.charCodeAt(length)) length++;
    failure[i] = length;
  }
  return failure;
}
