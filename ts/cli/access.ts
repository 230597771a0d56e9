/** Who may call a server, and how much, as the settings say. */
import type { Settings } from '../config/index.js';
import { isLoopback } from '../config/index.js';
import { checkRemote } from '../serve/access/gate.js';
import { type KeyFile, openKeyFile } from '../serve/access/key-file.js';
import type { ServerOptions } from '../serve/index.js';
import { say, type Terminal } from './terminal.js';

export type Access = Pick<
  ServerOptions,
  'keys' | 'allowedHosts' | 'corsOrigins' | 'rateLimits' | 'bodyLimitBytes' | 'connections'
>;

/** @throws StompError CONFIG_INVALID */
export async function openAccess(
  settings: Settings,
  terminal: Terminal,
): Promise<{ access: Access; keyFile: KeyFile | undefined }> {
  const { host, allowRemote, apiKeyFile } = settings;
  checkRemote(host, allowRemote, apiKeyFile !== undefined);
  if (allowRemote && isLoopback(host)) {
    say(terminal, `stomp-serve: --allow-remote lets nobody in while the host is ${host}; see --host.`);
  }
  const keyFile = apiKeyFile === undefined ? undefined : await openKeys(apiKeyFile, terminal);
  return { access: { ...limitsOf(settings), keys: keyFile?.keys }, keyFile };
}

function openKeys(path: string, terminal: Terminal): Promise<KeyFile> {
  return openKeyFile(path, {
    onChange: () => say(terminal, `The keys of ${path} have changed and count now.`),
    onProblem: (problem) => say(terminal, `The keys from before still count: ${problem.message}`),
  });
}

function limitsOf(settings: Settings): Access {
  return {
    allowedHosts: list(settings.allowedHosts),
    corsOrigins: list(settings.corsOrigin),
    rateLimits: { perAgent: settings.rateLimitPerAgent, perKey: settings.rateLimitPerKey },
    bodyLimitBytes: settings.bodyLimitMb << 20,
    connections: {
      maxConnections: settings.maxConnections,
      requestTimeoutMs: Math.round(settings.requestTimeoutSeconds * 1000),
    },
  };
}

/** Separated by commas. */
function list(text = ''): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
