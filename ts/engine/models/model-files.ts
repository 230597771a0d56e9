/** Whether a model on this machine has what serving it takes, without its weights being read. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import { loadModelText } from '../text/model-text.js';

/**
 * Reads its tokenizer and chat template, as serving does; of a folder, also whether its configuration and all files of
 * its weights are there.
 * @param path a .gguf file or a model folder
 * @throws StompError MODEL_INVALID, MODEL_UNSUPPORTED, ENGINE_UNAVAILABLE
 */
export async function checkModelFiles(path: string): Promise<void> {
  if ((await stat(path)).isDirectory()) await checkFolder(path);
  await loadModelText(path);
}

async function checkFolder(folder: string): Promise<void> {
  const names = new Set(await readdir(folder));
  const needed = names.has(indexName) ? await shardsOf(join(folder, indexName)) : [];
  const missing = ['config.json', ...needed].find((name) => !names.has(name));
  if (missing !== undefined) throw invalid(folder, `it has no ${missing}`);
  if (![...names].some((name) => name.endsWith('.safetensors')))
    throw invalid(folder, 'it has no .safetensors file; a .gguf file among several is named by its own path');
}

const indexName = 'model.safetensors.index.json';

async function shardsOf(path: string): Promise<string[]> {
  try {
    const { weight_map: shards } = JSON.parse(await readFile(path, 'utf8')) as { weight_map?: object };
    return [...new Set(Object.values(shards ?? {}).map(String))];
  } catch (cause) {
    throw invalid(path, (cause as Error).message);
  }
}

function invalid(path: string, why: string): StompError {
  return new StompError('MODEL_INVALID', `${path} is no model that can be served: ${why}.`, {
    fields: { path },
  });
}
