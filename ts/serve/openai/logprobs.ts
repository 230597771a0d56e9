/** Log-probabilities of tokens in the two shapes that OpenAI has for them. */
import type { Tokenizer, TokenLogprob } from '../../engine/types.js';

/** Gives each token's UTF-8. */
export type TokenBytes = Pick<Tokenizer, 'bytes'>;

/** As chat completions have them: one entry for each token. */
export function chatLogprobs(
  logprobs: readonly TokenLogprob[],
  tokenizer: TokenBytes,
): { content: object[]; refusal: null } {
  const entry = ({ token, logprob }: { token: number; logprob: number }) => {
    const bytes = tokenizer.bytes(token);
    return { token: Buffer.from(bytes).toString(), logprob, bytes: [...bytes] };
  };
  const content = logprobs.map((one) => ({ ...entry(one), top_logprobs: one.top.map(entry) }));
  return { content, refusal: null };
}

/** As completions have them, for one answer, a piece at a time: a list for each kind of thing. */
export class CompletionLogprobs {
  readonly #tokenizer: TokenBytes;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #offset: number;

  /** @param offset of the answer, in UTF-16 units from the beginning of the prompt. */
  constructor(tokenizer: TokenBytes, offset: number) {
    this.#tokenizer = tokenizer;
    this.#offset = offset;
  }

  next(logprobs: readonly TokenLogprob[]): object {
    const name = (token: number) => tokenName(this.#tokenizer.bytes(token));
    return {
      text_offset: logprobs.map(({ token }) => this.#advance(token)),
      token_logprobs: logprobs.map(({ logprob }) => logprob),
      tokens: logprobs.map(({ token }) => name(token)),
      // The chosen token is always among them.
      top_logprobs: logprobs.map((one) =>
        Object.fromEntries([...one.top, one].map(({ token, logprob }) => [name(token), logprob])),
      ),
    };
  }

  /** @returns where the token begins; one that ends a character begins where the character does. */
  #advance(token: number): number {
    const before = this.#offset;
    this.#offset += this.#decoder.decode(this.#tokenizer.bytes(token), { stream: true }).length;
    return before;
  }
}

/** A part of a character has no text; its bytes stand for it. */
function tokenName(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}
