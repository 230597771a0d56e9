/**
 * The text of one answer as its tokens arrive: characters put together, stop texts kept out. Knows which
 * tokens make up the text that was let through. One user each.
 */
import type { Detokenizer } from './detokenizer.js';
import { StopStrings } from './stop-strings.js';

export interface AnswerPiece {
  text: string;
  /** Ids whose text ended in this piece. */
  tokens: number[];
}

export class Answer {
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  readonly #tokens: number[] = [];
  /** ends[i]: where the text of token i ends; one past what is decoded while its character is incomplete. */
  readonly #ends: number[] = [];
  #decoded = 0;
  #text = '';
  #reported = 0;
  #stopText: string | undefined;

  constructor(detokenizer: Detokenizer, stops: readonly string[]) {
    this.#detokenizer = detokenizer;
    this.#stops = new StopStrings(stops);
  }

  /** Text let through so far. */
  get text(): string {
    return this.#text;
  }

  /** The stop text that was found; tokens after it are ignored. */
  get stopText(): string | undefined {
    return this.#stopText;
  }

  /** Tokens that arrived, the stop text's included. */
  get arrived(): number {
    return this.#tokens.length;
  }

  push(token: number): AnswerPiece {
    if (this.#stopText !== undefined) return { text: '', tokens: [] };
    const text = this.#detokenizer.push(token);
    this.#decoded += text.length;
    this.#tokens.push(token);
    this.#ends.push(text === '' ? this.#decoded + 1 : this.#decoded);
    const found = this.#stops.push(text);
    this.#stopText = found.stop;
    return this.#let(found.text);
  }

  /** No more tokens: what was held back for a stop text that never came. */
  end(): AnswerPiece {
    return this.#stopText === undefined ? this.#let(this.#stops.end()) : { text: '', tokens: [] };
  }

  /** The tokens of the text let through. */
  tokens(): number[] {
    return this.#stopText === undefined ? [...this.#tokens] : this.#tokens.slice(0, this.#reported);
  }

  /** Whether those tokens are all of the text: not when a stop text began in the middle of one. */
  get whole(): boolean {
    if (this.#stopText === undefined) return true;
    return (this.#ends[this.#reported - 1] ?? 0) === this.#text.length;
  }

  #let(text: string): AnswerPiece {
    this.#text += text;
    const from = this.#reported;
    while (this.#reported < this.#ends.length && (this.#ends[this.#reported] ?? 0) <= this.#text.length) {
      this.#reported++;
    }
    return { text, tokens: this.#tokens.slice(from, this.#reported) };
  }
}
