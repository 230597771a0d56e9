/** The context that the settings describe. */
import { resolve } from 'node:path';
import type { Settings } from '../config/index.js';
import { AgentContextManager, type AgentContextOptions } from '../context/index.js';
import type { Maasl } from '../guard/index.js';

/** For whoever wants no state file. */
const none = 'none';

/**
 * @param roots canonical folders that projects must lie in
 * @throws StompError CONFIG_INVALID, DB_BUSY
 */
export function openContext(
  maasl: Maasl,
  settings: Settings,
  roots: readonly string[],
  options: Pick<AgentContextOptions, 'cleanUpMs' | 'onProblem' | 'recoverLogs' | 'updateStateFile'> = {},
): Promise<AgentContextManager> {
  const stateFile = stateFileOf(settings, roots);
  return AgentContextManager.open({
    maasl,
    roots,
    ...(stateFile === undefined ? {} : { stateFile }),
    sessionTtlMs: Math.round(settings.sessionLeaseSeconds * 1000),
    sessionStartsPerMinute: settings.sessionStartsPerMinute,
    maxActiveSessions: settings.maxSessions,
    rotateBytes: settings.rotateMb << 20,
    ...options,
  });
}

/** @returns undefined for none */
export function stateFileOf(
  { stateFile }: Pick<Settings, 'stateFile'>,
  [root = '.']: readonly string[],
): string | undefined {
  return stateFile === none ? undefined : resolve(root, stateFile);
}
