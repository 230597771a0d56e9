/** `stomp-serve models`: the models with a short name, and what lies in the folder of models. */
import { listModels } from '../../engine/models/inventory.js';
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
  run: printModels,
};

const originOf = { known: 'known', hub: 'from the hub', file: 'put there' } as const;

async function printModels({ terminal }: Invocation): Promise<number> {
  const folder = modelFolder();
  const rows = (await listModels(folder)).map(({ name, source, here, sizeBytes, description, license }) => {
    const what = description === undefined ? originOf[source] : `${description} (${license})`;
    return [name, formatBytes(sizeBytes), here, what];
  });
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
  return (await listModels(modelFolder())).some((model) => model.name === name && model.here === 'yes');
}
