/** What a caller asks for, read once: everything that can be wrong with it is found here. */
import { randomInt } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { checkChoice, checkFields, checkInteger, checkNumber, checkText, refuse } from '../../arguments.js';
import { checkAgentId } from '../../engine/agent-id.js';
import type { FileGuard } from '../../guard/files.js';
import type { RunInput } from '../clutch.js';
import { PathRules } from '../paths.js';
import { type GatePolicy, gatePolicies, type RunRequest } from './run.js';
import { checkTickets } from './tickets.js';

export interface RunDefaults {
  readonly files: FileGuard;
  readonly gate: GatePolicy;
  readonly gateTimeoutMs: number;
  readonly provider: string;
  readonly toolNames: readonly string[];
  /** @throws StompError INVALID_REQUEST when there is no such provider */
  defaultModel(provider: string): string;
}

/** A run that has not begun. */
export interface NewRun {
  readonly id: string;
  readonly agentId: string;
  readonly sessionId: string;
  readonly request: RunRequest;
}

const mostTextChars = 4 << 20;
const mostFiles = 1000;
/** How long a gate may wait: up to a year. */
export const gateTimeoutRule = { min: 1, max: 365 * 86_400_000 };

const inputFields = [
  'prompt',
  'tickets',
  'stableMd',
  'fileItems',
  'discText',
  'baseDir',
  'provider',
  'model',
  'temperature',
  'maxTokens',
  'firstTool',
  'gate',
  'gateTimeoutMs',
  'agentId',
  'sessionId',
] as const satisfies readonly (keyof RunInput)[];

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD, PATH_DENIED */
export async function newRun(input: RunInput, defaults: RunDefaults): Promise<NewRun> {
  checkFields('run', input, inputFields);
  const id = newRunId();
  const provider = checkText('provider', input.provider, defaults.provider, 64);
  const ownModel = defaults.defaultModel(provider);
  const baseDir = await baseDirOf(input.baseDir, defaults.files);
  const request: RunRequest = {
    ...taskOf(input),
    stableMd: checkText('stableMd', input.stableMd, '', mostTextChars),
    fileItems: await filesOf(input.fileItems, baseDir, defaults.files),
    discText: checkText('discText', input.discText, '', mostTextChars),
    baseDir,
    provider,
    model: checkText('model', input.model, ownModel, 200) || ownModel,
    temperature: checkNumber('temperature', input.temperature, 0, { min: 0, max: 2 }),
    maxTokens: checkInteger('maxTokens', input.maxTokens, 8192, { min: 1, max: 10_000_000 }),
    ...firstToolOf(input, defaults),
    gate: checkChoice('gate', input.gate, defaults.gate, gatePolicies),
    gateTimeoutMs: checkInteger(
      'gateTimeoutMs',
      input.gateTimeoutMs,
      defaults.gateTimeoutMs,
      gateTimeoutRule,
    ),
  };
  await pathRulesOf(request);
  return {
    id,
    agentId: input.agentId === undefined ? id : checkAgentId(input.agentId, 'agentId'),
    sessionId: input.sessionId === undefined ? id : checkAgentId(input.sessionId, 'sessionId'),
    request,
  };
}

/** Short enough to be typed; of two runs of one database none has ever had the same. */
function newRunId(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789';
  return `run_${Array.from({ length: 12 }, () => letters[randomInt(letters.length)]).join('')}`;
}

/** Which files a run may touch. @throws StompError PATH_DENIED, INVALID_REQUEST */
export function pathRulesOf({ baseDir, fileItems }: RunRequest): Promise<PathRules> {
  return PathRules.open({ baseDirs: [baseDir], trackedFiles: fileItems });
}

function firstToolOf({ firstTool }: RunInput, { toolNames }: RunDefaults): Pick<RunRequest, 'firstTool'> {
  if (firstTool === undefined) return {};
  return { firstTool: checkChoice('firstTool', firstTool, '', toolNames) };
}

function taskOf({ prompt, tickets }: RunInput): Pick<RunRequest, 'prompt' | 'tickets'> {
  const text = checkText('prompt', prompt, '', mostTextChars);
  if (tickets !== undefined) return { prompt: text, tickets: checkTickets(tickets) };
  return text.trim() === '' ? refuse('prompt', prompt, 'a task in words') : { prompt: text };
}

/** Nothing is shown to a model that the guard would not show to an agent. */
async function filesOf(given: unknown, baseDir: string, files: FileGuard): Promise<readonly string[]> {
  if (given === undefined) return [];
  const fits =
    Array.isArray(given) &&
    given.length <= mostFiles &&
    given.every((one) => typeof one === 'string' && one !== '');
  const paths: readonly string[] = fits ? given : refuse('fileItems', given, `at most ${mostFiles} paths`);
  return Promise.all(paths.map((path) => files.locate(resolve(baseDir, path))));
}

async function baseDirOf(given: unknown, files: FileGuard): Promise<string> {
  const folder = await files.locate(checkText('baseDir', given, files.roots[0] ?? '', 4096));
  const stats = await stat(folder).catch(() => undefined);
  return stats?.isDirectory() ? folder : refuse('baseDir', folder, 'a folder that is there');
}
