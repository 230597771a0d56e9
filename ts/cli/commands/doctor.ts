/** `stomp-serve doctor`: checks one by one what serving needs, and says what to do about what is missing. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Settings } from '../../config/index.js';
import { expandPath } from '../../engine/engine-options.js';
import { chooseExecutor } from '../../engine/executor-choice.js';
import { mlxDownload } from '../../engine/mlx-setup.js';
import { parseHubId } from '../../engine/models/hub-model.js';
import { defaultModel, knownModels } from '../../engine/models/known-models.js';
import { checkModelFiles } from '../../engine/models/model-files.js';
import { localModel, modelFolder } from '../../engine/models/registry.js';
import { toStompError } from '../../errors.js';
import { addonPath, native } from '../../native.js';
import { packageVersion } from '../../version.js';
import type { Command, Invocation } from '../command.js';
import { print } from '../terminal.js';
import { formatBytes } from '../units.js';
import { examineGpu } from './gpu-check.js';
import { isDownloaded } from './models.js';

export const doctor: Command = {
  name: 'doctor',
  usage: '',
  summary: 'Check whether this machine has what it takes',
  arguments: [0, 0],
  run: examine,
};

/** `missing` is something one can do without. */
type State = 'ok' | 'missing' | 'broken';

interface Finding {
  readonly state: State;
  readonly detail: string;
}

const MARKS: Record<State, string> = { ok: 'ok     ', missing: 'missing', broken: 'BROKEN ' };

const CHECKS: readonly (readonly [
  what: string,
  check: (settings: Settings) => Finding | Promise<Finding>,
])[] = [
  ['node', node],
  ['machine', machine],
  ['addon', addon],
  ['cpu', cpuExecutor],
  ['mlx', mlxExecutor],
  ['cache folder', cacheFolder],
  ['model', model],
];

async function examine({ settings, terminal }: Invocation): Promise<number> {
  if (settings.gpu) return examineGpu(terminal);
  let broken = 0;
  for (const [what, check] of CHECKS) {
    const { state, detail } = await examined(check, settings);
    if (state === 'broken') broken++;
    print(terminal, `${MARKS[state]}  ${what.padEnd(12)} ${detail}`);
  }
  print(terminal, broken === 0 ? '\nReady to serve.' : '\nNot ready: see what is BROKEN above.');
  return broken === 0 ? 0 : 1;
}

async function examined(check: (typeof CHECKS)[number][1], settings: Settings): Promise<Finding> {
  try {
    return await check(settings);
  } catch (caught) {
    return { state: 'broken', detail: toStompError(caught).message };
  }
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  const detail = `${process.version}${fits ? '' : ': 20.19 or newer is needed'}`;
  return { state: fits ? 'ok' : 'broken', detail };
}

function machine(): Finding {
  const detail = `${process.platform}-${process.arch}, ${availableParallelism()} processors, ${formatBytes(totalmem())} of memory`;
  return { state: 'ok', detail };
}

function addon(): Finding {
  return { state: 'ok', detail: `version ${native().version}, package ${packageVersion()}, ${addonPath()}` };
}

function cpuExecutor(): Finding {
  const features = native().cpuFeatures();
  return {
    state: 'ok',
    detail: features.length === 0 ? 'no special instructions' : features.join(', '),
  };
}

/** Something to do without, unless it was asked for. */
async function mlxExecutor(settings: Settings): Promise<Finding> {
  try {
    return { state: 'ok', detail: chooseExecutor('mlx').mlxLibrary };
  } catch (caught) {
    const state = settings.executor === 'mlx' ? 'broken' : 'missing';
    const wheel = await mlxDownload();
    const size = wheel ? ` It downloads ${formatBytes(wheel.bytes)}.` : '';
    return { state, detail: `${toStompError(caught).message}${size}` };
  }
}

async function cacheFolder({ cacheDir }: Settings): Promise<Finding> {
  const probe = join(cacheDir, `.doctor-${process.pid}`);
  try {
    await mkdir(cacheDir, { recursive: true });
    await writeFile(probe, 'x');
    await rm(probe);
    return { state: 'ok', detail: cacheDir };
  } catch (caught) {
    const reason = (caught as Error).message;
    const detail = `${cacheDir} cannot be written: ${reason}. Choose another with --cache-dir.`;
    return { state: 'broken', detail };
  }
}

async function model({ model: name }: Settings): Promise<Finding> {
  const known = knownModels().find((entry) => entry.name === name);
  if (known) {
    const here = await isDownloaded(name);
    const detail = here
      ? `${name}, on this machine`
      : `${name} is downloaded at the first start (${formatBytes(known.downloadBytes)})`;
    return { state: here ? 'ok' : 'missing', detail };
  }
  const isPath = /^[./~\\]|\.gguf$/.test(name);
  if (!isPath && parseHubId(name)) {
    return { state: 'ok', detail: `${name}, from the hub, kept under ${modelFolder()}` };
  }
  const path = await localModel(expandPath(name));
  if (path === undefined)
    return { state: 'broken', detail: `there is no ${name}; ${defaultModel} is the default` };
  await checkModelFiles(path);
  return { state: 'ok', detail: path };
}
