/** `stomp-serve models`: the models with a short name, and what lies in the folder of models. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { knownModels } from '../../engine/models/known-models.js';
import { modelFolder } from '../../engine/models/registry.js';
import type { Command, Invocation } from '../command.js';
import { table } from '../table.js';
import { print } from '../terminal.js';
import { formatBytes } from '../units.js';

export const models: Command = {
  name: 'models',
  usage: '',
  summary: 'List the models that are known and those on this machine',
  arguments: [0, 0],
  run: listModels,
};

async function listModels({ terminal }: Invocation): Promise<number> {
  const folder = modelFolder();
  const rows = [...(await knownRows(folder)), ...(await hubRows(join(folder, 'hub')))];
  const columns = [
    { title: 'MODEL' },
    { title: 'SIZE', align: 'right' },
    { title: 'HERE' },
    { title: 'WHAT IT IS' },
  ] as const;
  print(terminal, table(columns, rows));
  print(
    terminal,
    `\nModels are kept in ${folder}. Any .gguf file, model folder or hub id (owner/name) works too.`,
  );
  return 0;
}

/** Whether a known model is on this machine. */
export async function isDownloaded(name: string): Promise<boolean> {
  return (await modelBytes(join(modelFolder(), name))) > 0;
}

async function knownRows(folder: string): Promise<string[][]> {
  return Promise.all(
    knownModels().map(async ({ name, description, license, downloadBytes }) => {
      const bytes = await modelBytes(join(folder, name));
      const size = formatBytes(bytes > 0 ? bytes : downloadBytes);
      return [name, size, bytes > 0 ? 'yes' : 'no', `${description} (${license})`];
    }),
  );
}

/** Folders of the hub's models are named `owner--name`. */
async function hubRows(folder: string): Promise<string[][]> {
  const names = (await list(folder)).filter((name) => name.includes('--'));
  return Promise.all(
    names.map(async (name) => {
      const bytes = await modelBytes(join(folder, name));
      const here = (await list(join(folder, name))).some(isManifest) ? 'yes' : 'partly';
      return [name.replace('--', '/'), formatBytes(bytes), here, 'from the hub'];
    }),
  );
}

/** Left beside a model when all of its files are there. */
function isManifest(name: string): boolean {
  return name.startsWith('.') && name.endsWith('.json');
}

/** Weights only, so that a download that has not ended does not count. */
async function modelBytes(folder: string): Promise<number> {
  const weights = (await list(folder)).filter((name) => /\.(gguf|safetensors)$/.test(name));
  const sizes = await Promise.all(weights.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** A folder that is not there holds nothing. */
async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw caught;
  }
}
