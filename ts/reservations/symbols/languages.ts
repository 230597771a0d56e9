/** The languages that are known, by the endings of their files. */
import type { LanguageRules } from './language.js';
import { go } from './languages/go.js';
import { javascript } from './languages/javascript.js';
import { python } from './languages/python.js';
import { tsx } from './languages/tsx.js';
import { typescript } from './languages/typescript.js';

export const languages: readonly LanguageRules[] = [python, typescript, tsx, javascript, go];

const byExtension = new Map(
  languages.flatMap((language) => language.extensions.map((extension) => [extension, language] as const)),
);
const byName = new Map(languages.map((language) => [language.name, language]));

/** @returns undefined when no language here reads such files. */
export function languageOf(path: string): LanguageRules | undefined {
  const extension = /\.[^./]+$/.exec(path)?.[0];
  return extension === undefined ? undefined : byExtension.get(extension.toLowerCase());
}

export function languageNamed(name: string): LanguageRules | undefined {
  return byName.get(name);
}
