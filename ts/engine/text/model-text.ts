/**
 * The text side of a model, from the files it came in: tokenizer and chat template. The libraries for both
 * are loaded on first use.
 */
import { stat } from 'node:fs/promises';
import { StompError } from '../../errors.js';
import { native } from '../../native.js';
import { ChatTemplate } from './chat-template.js';
import { folderTextParts } from './folder-text.js';
import { ggufTextParts } from './gguf-text.js';
import type { TextParts } from './text-parts.js';
import { TextTokenizer } from './tokenizer.js';

export interface ModelText {
  tokenizer: TextTokenizer;
  template: ChatTemplate;
}

/**
 * @param path a .gguf file or a model folder.
 * @throws StompError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_NOT_FOUND
 */
export async function loadModelText(path: string): Promise<ModelText> {
  const folder = (await stat(path)).isDirectory();
  return modelText(folder ? await folderTextParts(path) : ggufTextParts(native().readGgufMetadata(path)));
}

/** @throws StompError MODEL_UNSUPPORTED */
export async function modelText(parts: TextParts): Promise<ModelText> {
  const [{ Tokenizer }, { Template }] = await Promise.all([
    import('@huggingface/tokenizers'),
    import('@huggingface/jinja'),
  ]);
  let tokenizer: TextTokenizer;
  try {
    const encoder = new Tokenizer(parts.json, { clean_up_tokenization_spaces: false });
    tokenizer = new TextTokenizer({ json: parts.json, encoder, bosIds: parts.bosIds });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StompError('MODEL_UNSUPPORTED', `The model's tokenizer cannot be used: ${reason}`, { cause });
  }
  const template = new ChatTemplate(
    parts.template,
    parts.markers,
    (source) => new Template(source),
    (marker) => tokenizer.hasAdded(marker),
  );
  return { tokenizer, template };
}
