/**
 * Grammars as the core reads them (`cpp/core/grammar`), in JSON. Compilers of schemas and of tool-call forms write
 * them; they are never read from outside. A grammar derives the bytes of a whole answer and nothing else.
 */

export type GrammarNode =
  /** This text, as UTF-8. May be empty. */
  | { readonly text: string }
  /** One character of these ranges of code points, ends included, ascending; surrogates are none. */
  | { readonly chars: readonly (readonly [number, number])[] }
  /** One token that is no text: a marker of the model. */
  | { readonly token: number }
  | { readonly seq: readonly GrammarNode[] }
  | { readonly or: readonly GrammarNode[] }
  /** `max` null: without end. The node must not derive the empty text. */
  | { readonly repeat: GrammarNode; readonly min: number; readonly max: number | null }
  /** What the rule of this name derives. Right recursion costs no depth. */
  | { readonly ref: string };

export interface Grammar {
  /** `root` is where it starts. Left recursion is an error. */
  readonly rules: Readonly<Record<string, GrammarNode>>;
}

export const text = (value: string): GrammarNode => ({ text: value });
export const chars = (...ranges: readonly (readonly [number, number])[]): GrammarNode => ({ chars: ranges });
export const token = (id: number): GrammarNode => ({ token: id });
export const seq = (...nodes: readonly GrammarNode[]): GrammarNode => ({ seq: nodes });
export const or = (...nodes: readonly GrammarNode[]): GrammarNode => ({ or: nodes });
export const ref = (name: string): GrammarNode => ({ ref: name });
export const repeat = (node: GrammarNode, min: number, max: number | null): GrammarNode => ({
  repeat: node,
  min,
  max,
});
export const optional = (node: GrammarNode): GrammarNode => or(node, text(''));
