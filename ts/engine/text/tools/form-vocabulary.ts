/** What forms ask of a vocabulary: which of its markers are tokens. */

export interface FormVocabulary {
  /** Whether a text is one token that is found in texts as a whole. */
  hasAdded(text: string): boolean;
  tokenId(text: string): number | undefined;
  isSpecial(token: number): boolean;
}

/** A token that is found in texts as a whole. */
export interface AddedToken {
  readonly id: number;
  readonly text: string;
  readonly special: boolean;
}

/** A vocabulary where nothing but its added tokens is there, as on another thread. */
export class AddedTokens implements FormVocabulary {
  readonly #byText: ReadonlyMap<string, AddedToken>;
  readonly #special: ReadonlySet<number>;

  constructor(added: readonly AddedToken[]) {
    this.#byText = new Map(added.map((token) => [token.text, token]));
    this.#special = new Set(added.filter(({ special }) => special).map(({ id }) => id));
  }

  hasAdded(text: string): boolean {
    return this.#byText.has(text);
  }

  tokenId(text: string): number | undefined {
    return this.#byText.get(text)?.id;
  }

  isSpecial(token: number): boolean {
    return this.#special.has(token);
  }
}
