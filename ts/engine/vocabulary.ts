/**
 * The text of every token, given to the core once it needs it: answers of a form are held to it byte by byte. Main
 * thread only.
 */
import type { NativeEngine } from '../native.js';
import type { TokenTable } from './text/detokenizer.js';

/** How long the event loop may be held. */
const sliceMs = 2;
/** Tokens between two looks at the clock. */
const sliceTokens = 512;

export interface VocabularySetup {
  engine: Pick<NativeEngine, 'setVocabulary' | 'compile'>;
  tokenizer: Pick<TokenTable, 'bytes' | 'isSpecial'>;
  /** Ids of the model; those that the tokenizer does not know are no text. */
  vocabSize: number;
}

export class Vocabulary {
  readonly #setup: VocabularySetup;
  #given: Promise<void> | undefined;

  constructor(setup: VocabularySetup) {
    this.#setup = setup;
  }

  /** Resolves when the core has it. Tried again after a failure. @throws StompError SHUTTING_DOWN */
  given(): Promise<void> {
    this.#given ??= this.#give().catch((error: unknown) => {
      this.#given = undefined;
      throw error;
    });
    return this.#given;
  }

  /**
   * Resolves when requests of this grammar can be submitted without others waiting for its compilation.
   * @throws StompError INVALID_REQUEST for a grammar that is not served, SHUTTING_DOWN
   */
  async ready(grammar: string): Promise<void> {
    await this.given();
    await this.#setup.engine.compile(grammar);
  }

  async #give(): Promise<void> {
    const { engine, tokenizer, vocabSize } = this.#setup;
    const texts: Uint8Array[] = [];
    const ends = new Int32Array(vocabSize);
    let size = 0;
    let held = performance.now();
    for (let id = 0; id < vocabSize; id++) {
      if (!tokenizer.isSpecial(id)) {
        const text = tokenizer.bytes(id);
        texts.push(text);
        size += text.length;
      }
      ends[id] = size;
      if (id % sliceTokens !== 0 || performance.now() - held < sliceMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      held = performance.now();
    }
    await engine.setVocabulary(Buffer.concat(texts, size), ends);
  }
}
