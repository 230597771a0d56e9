/**
 * Tokens back to text, one at a time. A character may be spread over several tokens: its bytes wait until
 * they are complete. Costs the same for every token, however long the answer is. One user each.
 */

/** What the detokenizer must know of a vocabulary. */
export interface TokenTable {
  /** UTF-8 of a token, possibly part of a character; empty for ids that do not exist. */
  bytes(token: number): Uint8Array;
  /** Markers such as `<|im_end|>`, which are no text. */
  isSpecial(token: number): boolean;
}

export interface DetokenizerOptions {
  /** Leave markers out. @default true */
  skipSpecial?: boolean;
  /** Drop a space that begins the text, as vocabularies with a space marker before words ask. */
  trimFirstSpace?: boolean;
}

export class Detokenizer {
  readonly #table: TokenTable;
  readonly #skipSpecial: boolean;
  #trim: boolean;
  // In stream mode it keeps an incomplete sequence for the next call; bytes that can never become a
  // character turn into U+FFFD.
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(table: TokenTable, options: DetokenizerOptions = {}) {
    this.#table = table;
    this.#skipSpecial = options.skipSpecial ?? true;
    this.#trim = options.trimFirstSpace ?? false;
  }

  /** @returns the characters that this token completes; often one word, sometimes nothing. */
  push(token: number): string {
    if (this.#table.isSpecial(token)) return this.#special(token);
    const bytes = this.#table.bytes(token);
    if (bytes.length === 0) return '';
    return this.#trimmed(this.#decoder.decode(bytes, { stream: true }));
  }

  // A marker ends any character before it; what was incomplete of that one is dropped.
  #special(token: number): string {
    this.#decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    if (this.#skipSpecial) return '';
    this.#trim = false;
    return new TextDecoder().decode(this.#table.bytes(token));
  }

  #trimmed(text: string): string {
    if (!this.#trim || text === '') return text;
    this.#trim = false;
    return text.startsWith(' ') ? text.slice(1) : text;
  }
}
