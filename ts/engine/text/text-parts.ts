/** What a model's files say about its text, before the libraries that need it are loaded. */
import type { TemplateMarkers } from './chat-template.js';
import type { TokenizerJson } from './tokenizer.js';

export interface TextParts {
  json: TokenizerJson;
  /** Ids that begin a raw text. */
  bosIds: readonly number[];
  markers: TemplateMarkers;
  /** Source of the chat template, if there is one. */
  template: string | undefined;
}

/** The markers that the model has. */
export function knownMarkers(named: Record<string, string | undefined>): TemplateMarkers {
  const known = Object.entries(named).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(known);
}
