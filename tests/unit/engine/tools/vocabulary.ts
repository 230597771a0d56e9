/** A vocabulary of markers, and grammars with these spelled out. */
import type { FormsVocabulary } from '../../../../ts/engine/forms.js';
import type { Grammar, GrammarNode } from '../../../../ts/engine/grammar/ir.js';

/** A vocabulary that has these markers. */
export class Vocabulary implements FormsVocabulary {
  readonly #markers: readonly string[];
  readonly #special: boolean;

  constructor(markers: readonly string[], special: boolean) {
    this.#markers = markers;
    this.#special = special;
  }

  hasAdded(text: string): boolean {
    return this.#markers.includes(text);
  }

  tokenId(text: string): number | undefined {
    return this.hasAdded(text) ? this.#markers.indexOf(text) : undefined;
  }

  isSpecial(): boolean {
    return this.#special;
  }

  get addedTokens() {
    return this.#markers.map((text, id) => ({ id, text, special: this.#special }));
  }

  /** The grammar with each token as its text, between ⟦ and ⟧ or what is given. */
  spelled(grammar: Grammar, open = '⟦', close = '⟧'): Grammar {
    const spell = (node: GrammarNode): GrammarNode => {
      if ('token' in node) return { text: `${open}${this.#markers[node.token]}${close}` };
      if ('seq' in node) return { seq: node.seq.map(spell) };
      if ('or' in node) return { or: node.or.map(spell) };
      return 'repeat' in node ? { ...node, repeat: spell(node.repeat) } : node;
    };
    const rules = Object.entries(grammar.rules).map(([name, node]) => [name, spell(node)]);
    return { rules: Object.fromEntries(rules) as Grammar['rules'] };
  }
}
