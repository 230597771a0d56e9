/**
 * Tokens back to text, one at a time. A character may be spread over several tokens: its bytes wait until
 * they are complete. Costs the same for every token, however long the answer is. One user each.
 */

import { decodeUtf8, unfinishedBytes } from './utf8.js';

/** What the detokenizer must know of a vocabulary. */
export interface TokenTable {
  /** UTF-8 of a token, possibly part of a character; empty for ids that do not exist. */
  bytes(token: number): Uint8Array;
  /** `wholeText` of those bytes, remembered: almost every token ends with a character. */
  text(token: number): string | undefined;
  /** Markers such as `<|im_end|>`, which are no text. */
  isSpecial(token: number): boolean;
}

export interface DetokenizerOptions {
  /** Leave markers out. @default true */
  skipSpecial?: boolean;
  /** Drop a space that begins the text, as vocabularies with a space marker before words ask. */
  trimFirstSpace?: boolean;
}

const noBytes: Uint8Array = new Uint8Array(0);

export class Detokenizer {
  readonly #table: TokenTable;
  readonly #skipSpecial: boolean;
  #trim: boolean;
  /** Of a character that is not complete yet. */
  #unfinished = noBytes;

  constructor(table: TokenTable, options: DetokenizerOptions = {}) {
    this.#table = table;
    this.#skipSpecial = options.skipSpecial ?? true;
    this.#trim = options.trimFirstSpace ?? false;
  }

  /** @returns the characters that this token completes; often one word, sometimes nothing. */
  push(token: number): string {
    if (this.#table.isSpecial(token)) return this.#special(token);
    const text = this.#unfinished === noBytes ? this.#table.text(token) : undefined;
    return this.#trimmed(text ?? this.#continued(this.#table.bytes(token)));
  }

  #continued(more: Uint8Array): string {
    const bytes = Buffer.concat([this.#unfinished, more]);
    const end = bytes.length - unfinishedBytes(bytes);
    this.#unfinished = end < bytes.length ? bytes.subarray(end) : noBytes;
    return decodeUtf8(bytes.subarray(0, end));
  }

  // A marker ends any character before it; what was incomplete of that one is dropped.
  #special(token: number): string {
    this.#unfinished = noBytes;
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
