/** Names of the agents that have a file, by the folder alone; docs/format.md says how files are named. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../errors.js';

/** The id in lower case and, behind `=`, which characters are upper case: four to a digit. */
const fileName = /^([a-z0-9_-][a-z0-9._-]{0,127})(?:=([0-9a-f]+))?\.safetensors$/;

/**
 * @param fingerprint of the model
 * @throws StompError CACHE_PERSISTENCE
 */
export async function agentsOnDisk(cacheDir: string, fingerprint: string): Promise<string[]> {
  const folder = join(cacheDir, fingerprint);
  try {
    return (await readdir(folder)).flatMap(agentOfFile);
  } catch (cause) {
    if (isMissing(cause)) return []; // somebody has deleted it, and all agents with it
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StompError('CACHE_PERSISTENCE', `Cannot read the cache folder ${folder}: ${reason}`, { cause });
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

function agentOfFile(name: string): string[] {
  const [, lower, bits = ''] = fileName.exec(name) ?? [];
  if (lower === undefined) return [];
  const isUpper = (i: number) => (Number.parseInt(bits[i >> 2] ?? '0', 16) >> (i & 3)) & 1;
  return [[...lower].map((char, i) => (isUpper(i) ? char.toUpperCase() : char)).join('')];
}
