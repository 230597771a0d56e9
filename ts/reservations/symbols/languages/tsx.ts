/** TypeScript with JSX: the same language with elements in it, and without casts in angle brackets. */
import type { LanguageRules } from '../language.js';
import { jsxQuery } from './javascript.js';
import { typedQuery, typescript } from './typescript.js';

export const tsx: LanguageRules = {
  ...typescript,
  name: 'tsx',
  extensions: ['.tsx'],
  grammar: 'tsx',
  query: `${typedQuery}${jsxQuery}`,
};
