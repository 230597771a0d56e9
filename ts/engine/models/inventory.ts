/** The models that can be had by a short name, and those that lie in the folder of models. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { knownModels } from './known-models.js';

/** A model that can be loaded. */
export interface AvailableModel {
  /** What `load` takes: a known name, a hub id, or the path of a file or folder. */
  name: string;
  /** `known` by a short name, from the `hub`, or a `file` or folder that somebody put there. */
  source: 'known' | 'hub' | 'file';
  /** Whether it is on this machine; `partly`: a download that has not ended. */
  here: 'yes' | 'partly' | 'no';
  /** Of the weights on this machine; of the download, where they are not. */
  sizeBytes: number;
  /** Of known ones. */
  description?: string;
  /** Of known ones. */
  license?: string;
}

/** @param folder where models are kept; one that is not there holds none. */
export async function listModels(folder: string): Promise<AvailableModel[]> {
  const found = await Promise.all([known(folder), hub(join(folder, 'hub')), others(folder)]);
  return found.flat();
}

function known(folder: string): Promise<AvailableModel[]> {
  return Promise.all(
    knownModels().map(async ({ name, description, license, downloadBytes }) => {
      const bytes = await weightsBytes(join(folder, name));
      const here = bytes > 0 ? 'yes' : 'no';
      const sizeBytes = bytes > 0 ? bytes : downloadBytes;
      return { name, source: 'known', here, sizeBytes, description, license } as const;
    }),
  );
}

/** Folders of the hub's models are named `owner--name`. */
async function hub(folder: string): Promise<AvailableModel[]> {
  const names = (await list(folder)).filter((name) => name.includes('--'));
  return Promise.all(
    names.map(async (name) => {
      const sizeBytes = await weightsBytes(join(folder, name));
      const here = (await list(join(folder, name))).some(isManifest) ? 'yes' : 'partly';
      return { name: name.replace('--', '/'), source: 'hub', here, sizeBytes } as const;
    }),
  );
}

async function others(folder: string): Promise<AvailableModel[]> {
  const taken = new Set(['hub', ...knownModels().map(({ name }) => name)]);
  const names = (await list(folder)).filter((name) => !taken.has(name) && !name.startsWith('.'));
  const found = await Promise.all(names.map((name) => other(join(folder, name))));
  return found.filter((model) => model !== undefined);
}

async function other(path: string): Promise<AvailableModel | undefined> {
  const sizeBytes = path.endsWith('.gguf') ? await fileBytes(path) : await weightsBytes(path);
  return sizeBytes === 0 ? undefined : { name: path, source: 'file', here: 'yes', sizeBytes };
}

/** Left beside a model when all of its files are there. */
function isManifest(name: string): boolean {
  return name.startsWith('.') && name.endsWith('.json');
}

/** Weights only, so that a download that has not ended does not count. */
async function weightsBytes(folder: string): Promise<number> {
  const weights = (await list(folder)).filter((name) => /\.(gguf|safetensors)$/.test(name));
  const sizes = await Promise.all(weights.map((name) => fileBytes(join(folder, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** 0 for what is gone, such as the target of a link. */
async function fileBytes(path: string): Promise<number> {
  return (await orAbsent(stat(path)))?.size ?? 0;
}

/** Nothing for what is no folder. */
async function list(folder: string): Promise<string[]> {
  return (await orAbsent(readdir(folder))) ?? [];
}

async function orAbsent<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (caught) {
    const { code } = caught as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw caught;
  }
}
